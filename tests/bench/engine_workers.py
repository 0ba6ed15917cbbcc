"""Sixty rounds of kill -9, stop, join and leave among two and three workers, under a stream of 200 scopes.

Shown: no scope without an owner for more than 15 s, no version going back, and the changes of level are those of one
process that replays the same log. Heartbeats tell of an owner, and so do the lines in which workers log what they took
over: one that is killed before its first heartbeat was an owner too. Duplicates are counted: they carry the same
identity, and must say the same. Levels are followed while they are published: compaction leaves of each scope only its
last. Engine and replay go by when the broker stored a report, so that a slow machine is no excuse.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

from aiokafka import AIOKafkaConsumer, ConsumerRecord

from degradation_engine.adapters.shelf import partition_of
from degradation_engine.domain import Engine
from resilience_contracts import (
    HealthObserved,
    LevelChanged,
    LevelState,
    Policy,
    Topic,
    Version,
    decode,
    parse_policy,
)
from resilience_runtime.bus import PublishError
from resilience_runtime.kafka.publisher import KafkaPublisher
from tests.e2e.quick import quick_policy_text
from tests.fixtures.stack import running_stack
from tests.integration.engine_process import EngineProcess, Monitor

ROUNDS = 60
SCOPES = 200
REPORT_S = 4.0
OWNERLESS_BOUND_S = 15.0
SETTLE_S = 15.0
UNSTIRRED_S = 5.0
"""After the last reports, a round of four seconds: changes that they cause are due, and silence (2.5 rounds) is not."""
LAST_TICK_S = 2.0
RESULT = Path(".stack/bench/engine_workers.json")


@dataclass
class Found:
    """What the topics say afterwards."""

    rounds: int
    levels: int
    longest_gap_s: float
    versions_back: int
    unheard: int = 0
    changes: int = 0
    duplicates: int = 0
    contradictions: int = 0
    differing: list[str] = field(default_factory=list)


def policy_text() -> str:
    """Return the quick policy with reports every four seconds."""
    return re.sub(r"interval_s: \d+", f"interval_s: {REPORT_S:g}", quick_policy_text())


async def stir(monitor: Monitor, rng: random.Random) -> None:
    """Report for ever; each scope breaks and mends at random."""
    names = sorted(parse_policy(policy_text()).dependencies)
    while True:
        began_s = time.monotonic()
        for down in monitor.down.values():
            if rng.random() < 0.1:
                down.symmetric_difference_update({rng.choice(names)})
        with suppress(PublishError):  # the next round tells it all again
            await monitor.report(pause_s=0)
        await asyncio.sleep(max(0.0, REPORT_S - (time.monotonic() - began_s)))


async def chaos(workers: list[EngineProcess], rounds: int, rng: random.Random) -> None:
    """Do something to one worker each round; at least one always goes on."""
    for number in range(rounds):
        victim = rng.choice(workers)
        if rng.random() < 0.6:
            victim.kill()
        else:
            victim.stop()
        await asyncio.sleep(rng.uniform(0.5, 6.0))
        victim.start()
        await victim.wait_ready()
        await asyncio.sleep(rng.uniform(0.5, 6.0))
        print(f"round {number + 1} of {rounds}", flush=True)


class Watch:
    """Follows the levels as they are published."""

    def __init__(self) -> None:
        self._newest: dict[str, Version] = {}
        self._signs_s: dict[str, list[float]] = defaultdict(list)
        self.seen = 0
        self.versions_back = 0

    async def run(self, bootstrap: str) -> None:
        """Follow until cancelled."""
        consumer = AIOKafkaConsumer(
            Topic.LEVELS, bootstrap_servers=bootstrap, group_id=None, auto_offset_reset="earliest"
        )
        async with consumer:
            async for record in consumer:
                state = decode(record.value, record.headers).event
                assert isinstance(state, LevelState)
                self._note(state.scope, state.version.ordered(), record.timestamp / 1000)

    def _note(self, scope: str, version: Version, stored_s: float) -> None:
        before = self._newest.get(scope, version)
        self.seen += 1
        self.versions_back += version < before
        self._newest[scope] = max(version, before)
        self._signs_s[scope].append(stored_s)

    def longest_gap_s(self, taken_over: Mapping[int, list[float]], end: datetime) -> float:
        """Return the longest time in which nothing showed an owner of a scope, from its first word to the end.

        Args:
            taken_over: when workers took partitions over, by partition.
        """
        longest_s = 0.0
        for scope, signs_s in self._signs_s.items():
            owned_s = taken_over[partition_of(scope.encode(), len(taken_over))]
            later_s = [moment_s for moment_s in owned_s if signs_s[0] < moment_s < end.timestamp()]
            moments_s = sorted([*signs_s, *later_s, end.timestamp()])
            longest_s = max(longest_s, *(after - before for before, after in pairwise(moments_s)))
        return longest_s

    @property
    def scopes(self) -> int:
        """How many were ever heard of."""
        return len(self._newest)


def partitions_taken_over(workers: Iterable[EngineProcess]) -> dict[int, list[float]]:
    """Return when workers say in their logs that they took each partition over."""
    moments: dict[int, list[float]] = defaultdict(list)
    for worker in workers:
        for line in worker.log.read_text(encoding="utf-8").splitlines():
            if '"partitions taken over"' in line:
                said = json.loads(line)
                for partition in said["partitions"]:
                    moments[partition].append(datetime.fromisoformat(said["timestamp"]).timestamp())
    return moments


async def records(bootstrap: str, topic: str) -> AsyncIterator[ConsumerRecord]:
    """Yield every record of a topic."""
    consumer = AIOKafkaConsumer(
        topic, bootstrap_servers=bootstrap, group_id=None, auto_offset_reset="earliest"
    )
    async with consumer:
        ends = await consumer.end_offsets(list(consumer.assignment()))
        while any([await consumer.position(part) < end for part, end in ends.items()]):
            for batch in (await consumer.getmany(timeout_ms=200)).values():
                for record in batch:
                    yield record


async def replayed(bootstrap: str, policy: Policy, end: datetime) -> dict[str, list[str]]:
    """Return the levels that each scope goes through, as one process that was never away finds them."""
    engines: dict[int, Engine] = defaultdict(lambda: Engine(policy))
    levels: dict[str, list[str]] = defaultdict(list)

    def note(events: list[object]) -> None:
        for event in events:
            if isinstance(event, LevelChanged):
                levels[event.scope].append(event.to_level)

    async for record in records(bootstrap, Topic.HEALTH):
        event = decode(record.value, record.headers).event
        assert isinstance(event, HealthObserved)
        now = datetime.fromtimestamp(record.timestamp / 1000, UTC)
        note([*engines[record.partition].observe(event, now)])
    for engine in engines.values():
        note([*engine.tick(end)])
    return levels


async def examine(bootstrap: str, policy: Policy, found: Found, end: datetime) -> Found:
    """Read the topics and compare."""
    told: dict[str, dict[str, LevelChanged]] = defaultdict(dict)
    async for record in records(bootstrap, Topic.LEVEL_CHANGES):
        change = decode(record.value, record.headers).event
        assert isinstance(change, LevelChanged)
        if change.changed_at > end:
            continue  # the replay ends there
        before = told[change.scope].setdefault(change.event_id, change)
        found.duplicates += before is not change
        found.contradictions += before.to_level != change.to_level
    expected = await replayed(bootstrap, policy, end)
    found.changes = sum(map(len, expected.values()))
    for scope in sorted(told.keys() | expected.keys()):
        levels = [change.to_level for change in told[scope].values()]
        if levels != expected[scope]:
            found.differing.append(f"{scope}: told {levels}, replayed {expected[scope]}")
    return found


async def measure(bootstrap: str, directory: Path, rounds: int) -> Found:
    """Run the rounds and examine what they left."""
    rng = random.Random(rounds)
    policy_file = directory / "chaos-policy.yaml"
    policy_file.write_text(policy_text(), encoding="utf-8")
    policy = parse_policy(policy_text())
    workers = [
        EngineProcess(
            bootstrap,
            directory,
            instance=f"worker-{n}",
            RESILIENCE_POLICY_FILE=str(policy_file),
        )
        for n in range(3)
    ]
    scopes = [f"store-{number:03d}" for number in range(SCOPES)]
    async with KafkaPublisher(bootstrap) as publisher:
        for worker in workers[:2]:
            await worker.start().wait_ready()
        watch = Watch()
        watching = asyncio.create_task(watch.run(bootstrap))
        stirring = asyncio.create_task(stir(Monitor(publisher, policy, scopes), rng))
        try:
            await chaos(workers[:2], rounds // 3, rng)
            await workers[2].start().wait_ready()
            await chaos(workers, rounds - rounds // 3, rng)
            await asyncio.sleep(SETTLE_S)
        finally:
            stirring.cancel()
            await asyncio.wait({stirring})
        assert stirring.cancelled(), "the stream of reports broke off"
        await asyncio.sleep(UNSTIRRED_S)
        end = datetime.now(UTC)
        await asyncio.sleep(LAST_TICK_S)
        for worker in workers:
            worker.stop()
        watching.cancel()
        await asyncio.wait({watching})
        assert watching.cancelled()
    gap_s = watch.longest_gap_s(partitions_taken_over(workers), end)
    found = Found(rounds, watch.seen, gap_s, watch.versions_back, SCOPES - watch.scopes)
    return await examine(bootstrap, policy, found, end)


def run(rounds: int) -> int:
    """Run so many rounds; answer 0 when nothing was lost, invented or left alone."""
    with tempfile.TemporaryDirectory() as place, running_stack(Path(place), parts=("kafka",)) as stack:
        found = asyncio.run(measure(stack.bootstrap, Path(place), rounds))
    print(
        f"{found.rounds} rounds, {found.levels} levels, {found.changes} changes:"
        f" longest without a sign of an owner {found.longest_gap_s:.1f} s, versions back {found.versions_back},"
        f" repeated {found.duplicates}, contradicting {found.contradictions},"
        f" scopes that differ {len(found.differing)}, never heard of {found.unheard}"
    )
    print("\n".join(found.differing[:10]))
    faults = list(_faults(found))
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    RESULT.write_text(json.dumps({**vars(found), "missed": faults}, indent=2), encoding="utf-8")
    print("\n".join(faults))
    return bool(faults)


def _faults(found: Found) -> Iterator[str]:
    heartbeat_s = parse_policy(policy_text()).timing.heartbeat_s
    if found.longest_gap_s > OWNERLESS_BOUND_S + heartbeat_s:
        yield f"a scope had no owner for {found.longest_gap_s - heartbeat_s:.1f} s"
    if found.unheard:
        yield f"{found.unheard} scopes were never heard of"
    if found.contradictions:
        yield f"{found.contradictions} changes were told again as another"
    if found.versions_back:
        yield f"versions went back {found.versions_back} times"
    if found.differing:
        yield f"{len(found.differing)} scopes have other changes than their log"


def main() -> int:
    """Run all rounds."""
    return run(ROUNDS)


if __name__ == "__main__":
    sys.exit(main())
