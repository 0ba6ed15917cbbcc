"""One phase of a load, and what was seen in it: answers, memory, and how busy the processor was."""

from __future__ import annotations

import os
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from statistics import linear_regression
from time import perf_counter

import psutil

from resilience_cli.stack import SERVICES, read_state
from tests.bench.inventory_client import Answer, Kind, Outcome, Plan, drive
from tests.fixtures.services import S3Access
from tests.fixtures.stack import RunningStack

PER_S, BURST_PER_S = 500, 5_000
USERS, THINK_S = 1_000, (1.0, 3.0)
CONNECTIONS = 1_000
LOOK_EVERY_S = 1.0
SPAN_S, AS_BEFORE = 5.0, 0.9
FORGETS = "s3-kill"
"""The stack's S3 keeps everything in memory, as a real one does not."""
WARM_SHARE = 0.3
"""So much of a soak is not looked at: caches fill, and pools and code reach their size."""
DELIBERATE = frozenset({Answer.SERVED, Answer.STALE, Answer.LATER, Answer.REFUSED})


@dataclass(frozen=True)
class Phase:
    """What to do for how long, in seconds.

    `fault`, as `redis-kill`, begins after `before_s` and is mended `down_s` later.
    """

    name: str
    seconds: float
    per_s: float | None = PER_S
    fault: str = ""
    before_s: float = 0.0
    down_s: float = 0.0
    connections: int = CONNECTIONS

    def plan(self, port: int, kinds: Sequence[Kind]) -> Plan:
        """Return what the client does."""
        if self.per_s is None:
            return Plan(port, kinds, self.seconds, USERS, think_s=THINK_S)
        return Plan(port, kinds, self.seconds, self.connections, self.per_s)


@dataclass
class Seen:
    """What was seen of a phase; moments by `perf_counter`, memory in MB by second and part."""

    phase: Phase
    outcomes: dict[str, Outcome]
    began_s: float
    broken_s: float | None = None
    mended_s: float | None = None
    memory: list[tuple[float, dict[str, float]]] = field(default_factory=list)
    busy: float = 0.0
    api_cores: float = 0.0
    load_average: float = 0.0

    @property
    def total(self) -> Outcome:
        """All kinds together."""
        total = Outcome()
        for outcome in self.outcomes.values():
            total.statuses.update(outcome.statuses)
            total.due_s += outcome.due_s
            total.took_s += outcome.took_s
            total.answers += outcome.answers
        return total

    @property
    def given(self) -> Counter[Answer]:
        """How many answers of each sort."""
        return Counter(self.total.answers)

    @property
    def recovered_s(self) -> float:
        """Seconds from the return of what failed until as much is served as before it broke.

        They are counted in spans of `SPAN_S`: the end of the last one with less than `AS_BEFORE` of the share served
        before, which is all where the machine bears the load.
        """
        mended_s, total = self.mended_s or self.began_s, self.total
        before, after = list[Answer](), defaultdict[int, list[Answer]](list)
        for due_s, answer in zip(total.due_s, total.answers, strict=True):
            if due_s >= mended_s:
                after[int((due_s - mended_s) / SPAN_S)].append(answer)
            elif due_s < (self.broken_s or self.began_s):
                before.append(answer)
        least = AS_BEFORE * _served(before)
        poor = [span for span, answers in after.items() if _served(answers) < least]
        return SPAN_S * (max(poor, default=-1) + 1)

    def grown_mb(self) -> dict[str, float]:
        """Return by how much each service grew while it was looked at, by the line through its memory."""
        first_s = self.began_s + WARM_SHARE * self.phase.seconds
        looked = [(at_s, parts) for at_s, parts in self.memory if at_s >= first_s]
        grown = {}
        for service in SERVICES:
            points = [(at_s, parts[service]) for at_s, parts in looked if service in parts]
            if len(points) > 2:
                slope = linear_regression(*zip(*points, strict=True)).slope
                grown[service] = slope * (points[-1][0] - points[0][0])
        return grown


def _served(answers: Sequence[Answer]) -> float:
    return answers.count(Answer.SERVED) / len(answers) if answers else 1.0


def play(phase: Phase, stack: RunningStack, pool: ProcessPoolExecutor, kinds: Sequence[Kind]) -> Seen:
    """Load a stack as a phase says, break and mend what it says; return what was seen."""
    port = int(stack.url("inventory-api").rpartition(":")[2])
    seen = Seen(phase, {}, perf_counter(), load_average=os.getloadavg()[0])
    with _looking(stack, seen):
        running = pool.submit(drive, phase.plan(port, kinds))
        if phase.fault:
            part, _, how = phase.fault.rpartition("-")
            with _objects_kept(stack) if phase.fault == FORGETS else nullcontext():
                time.sleep(phase.before_s)
                seen.broken_s = perf_counter()
                (stack.stop if how == "kill" else stack.pause)(part)
                time.sleep(phase.down_s)
                stack.restore(part)
            seen.mended_s = perf_counter()
        seen.outcomes = running.result()[0]
    return seen


@contextmanager
def _objects_kept(stack: RunningStack) -> Iterator[None]:
    """Put what is in the stack's bucket there again at the end."""
    env = stack.env
    access = S3Access(
        env["S3_ENDPOINT_URL"],
        env["AWS_ACCESS_KEY_ID"],
        env["AWS_SECRET_ACCESS_KEY"],
        env["AWS_REGION"],
        env["S3_BUCKET"],
    )
    s3, bucket = access.client(), access.bucket
    kept = []
    for each in s3.list_objects_v2(Bucket=bucket).get("Contents", []):
        one = s3.get_object(Bucket=bucket, Key=each["Key"])
        said = {name: one[name] for name in ("ContentType", "Metadata")}
        kept.append({"Bucket": bucket, "Key": each["Key"], "Body": one["Body"].read(), **said})
    yield
    for one in kept:
        s3.put_object(**one)


@contextmanager
def _looking(stack: RunningStack, seen: Seen) -> Iterator[None]:
    end = threading.Event()

    def look() -> None:
        while not end.wait(LOOK_EVERY_S):
            seen.memory.append((perf_counter(), stack.rss_mb()))

    thread = threading.Thread(target=look)
    before, api_before = psutil.cpu_times(), _cpu_s(stack)
    thread.start()
    try:
        yield
    finally:
        end.set()
        thread.join()
        after = psutil.cpu_times()
        passed_s = sum(after[:8]) - sum(before[:8])  # what runs in guests is in the first already
        idle_s = after.idle + after.iowait - before.idle - before.iowait
        seen.busy = 1 - idle_s / passed_s
        seen.api_cores = (_cpu_s(stack) - api_before) / (perf_counter() - seen.began_s)


def _cpu_s(stack: RunningStack) -> float:
    state = read_state(stack.root)
    assert state
    times = psutil.Process(state.parts["inventory-api"].pid).cpu_times()
    return times.user + times.system
