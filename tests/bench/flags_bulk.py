"""Bulk evaluation of 200 flags at 500 requests a second, beside a bare FastAPI that answers the same bytes.

Open loop: each request has its time, and its latency counts from then, so that a server that falls behind
cannot hide it. Bounds: p99 at most 10 ms, and the resolver under 5 us a flag. The floor is measured in the same
run, and so is the evaluator of flagd for Python (the same rules; flagd itself cannot be had as a Go module here).
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
import uvloop
from fastapi import FastAPI, Request, Response
from openfeature.contrib.tools.flagd.core import FlagdCore
from openfeature.evaluation_context import EvaluationContext

from flag_service.domain.flags import FlagCatalogue, Sheet
from flag_service.domain.picture import draw
from resilience_contracts import Level, Policy, View, default_policy_text, parse_policy
from resilience_runtime import MemoryBus, serve
from tests.contracts.states import NOW, level_state
from tests.flag_service.running import running, tell

FLAGS = 200
OWN = FLAGS - 34
RATE_PER_S = 500
SECONDS = 12
WARM_UP_S = 2
CONNECTIONS = 32
P99_MS = 10.0
RESOLVER_US = 5.0
ROUNDS = 200
PATH = "/ofrep/v1/evaluate/flags"
RESULT = Path(".stack/bench/flags_bulk.json")
TIERS = ("gold", "silver", "bronze")


def rule(number: int) -> str:
    """Return one of five kinds of flags: by tier, by percentage, both, with a prerequisite, without a rule."""
    tier = "{when: {tier: {one_of: [gold]}, age: {at_least: 18}}, serve: on}"
    split = "{serve: {on: 20, off: 80}}"
    return (
        f"targeting: [{tier}]",
        f"targeting: [{split}]",
        f"targeting: [{tier}, {split}]",
        f"prerequisites: {{shop.f{number - number % 5}: [on]}}",
        "up_to: LIMITED",
    )[number % 5]


def policy() -> Policy:
    """Return the default policy with flags of the retailer's own, 200 in all."""
    flags = "".join(
        f"\n  shop.f{n}: {{variants: {{on: true, off: false}}, default: off, off: off, {rule(n)}}}"
        for n in range(OWN)
    )
    return parse_policy(f"{default_policy_text()}\nflags:{flags}\n")


def contexts() -> Iterator[dict[str, Any]]:
    number = 0
    while True:
        yield {"targetingKey": f"user-{number}", "tier": TIERS[number % 3], "age": number % 80}
        number += 1


async def serve_flags(ready: Callable[[int], None]) -> None:
    """Serve the flag service whole, on an in-memory bus."""
    bus = MemoryBus()
    await tell(bus, level_state(Level.OPTIMAL, at=datetime.now(UTC)))
    with tempfile.TemporaryDirectory() as directory:
        async with running(bus, Path(directory), policy=policy(), rate_limit_per_s=100_000) as replica:
            await replica.until_ready()
            await serve(replica.service.app, "127.0.0.1", 0, on_bound=ready)


async def serve_floor(ready: Callable[[int], None]) -> None:
    """Serve the same bytes from a route that does nothing."""
    body = b"x" * int(os.environ["BODY_BYTES"])
    app = FastAPI()

    @app.post(PATH)
    async def answer(request: Request) -> Response:
        await request.body()
        return Response(body, media_type="application/json")

    await serve(app, "127.0.0.1", 0, on_bound=ready)


@contextmanager
def server(kind: str, body_bytes: int = 0) -> Iterator[tuple[int, psutil.Process]]:
    """Run a server in a process of its own; give its port and the process."""
    command = [sys.executable, "-m", "tests.bench.flags_bulk", kind]
    env = os.environ | {"BODY_BYTES": str(body_bytes)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=env) as process:
        assert process.stdout
        try:
            yield int(process.stdout.readline()), psutil.Process(process.pid)
        finally:
            process.kill()


class Connection:
    """One kept connection, which reads whole answers and nothing else."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def ask(self, context: dict[str, Any]) -> int:
        """Ask for every flag; return the length of the answer's body."""
        body = json.dumps({"context": context}).encode()
        head = f"POST {PATH} HTTP/1.1\r\nHost: bench\r\nContent-Length: {len(body)}\r\n\r\n"
        self._writer.write(head.encode() + body)
        answer = (await self._reader.readuntil(b"\r\n\r\n")).lower()
        assert b" 200 " in answer[:20], answer[:200]
        length = int(answer.partition(b"content-length: ")[2].split(b"\r")[0])
        await self._reader.readexactly(length)
        return length


async def load(port: int) -> list[float]:
    """Send at a steady rate; return each latency in milliseconds, from the time it was due."""
    free: asyncio.Queue[Connection] = asyncio.Queue()
    for _ in range(CONNECTIONS):
        free.put_nowait(Connection(*await asyncio.open_connection("127.0.0.1", port, limit=2**20)))
    latencies: list[float] = []
    start = time.perf_counter() + 0.1

    async def one(due: float, context: dict[str, Any]) -> None:
        connection = await free.get()
        await connection.ask(context)
        free.put_nowait(connection)
        if due >= start + WARM_UP_S:
            latencies.append((time.perf_counter() - due) * 1000)

    gc.disable()
    async with asyncio.TaskGroup() as group:
        for index, context in zip(range(RATE_PER_S * (SECONDS + WARM_UP_S)), contexts(), strict=False):
            due = start + index / RATE_PER_S
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            group.create_task(one(due, context))
    gc.enable()
    return latencies


async def body_length(port: int) -> int:
    connection = Connection(*await asyncio.open_connection("127.0.0.1", port, limit=2**20))
    return await connection.ask(next(contexts()))


def resolver_us() -> float:
    """Return microseconds of processor a flag, the best of three passes over many callers."""
    view = View(policy())
    view.apply_level(level_state(Level.OPTIMAL))
    sheet = Sheet(FlagCatalogue(view.policy), draw(view, "default", NOW))
    callers = [context for context, _ in zip(contexts(), range(ROUNDS), strict=False)]

    def once() -> float:
        start = time.process_time()
        for caller in callers:
            for _ in sheet.evaluate_all(caller):
                pass
        return (time.process_time() - start) / (ROUNDS * FLAGS) * 1e6

    once()
    return min(once() for _ in range(3))


def flagd_us() -> float:
    """Return microseconds of processor a flag of flagd's evaluator for Python, on the same kinds of rules."""
    tier: dict[str, Any] = {"and": [{"in": [{"var": "tier"}, ["gold"]]}, {">=": [{"var": "age"}, 18]}]}
    split: dict[str, Any] = {"fractional": [["on", 20], ["off", 80]]}
    rules: list[dict[str, Any]] = [{"if": [tier, "on", "off"]}, split, {"if": [tier, "on", split]}, {}, {}]
    flags = {
        f"f{n}": {
            "state": "ENABLED", "variants": {"on": True, "off": False}, "defaultVariant": "off",
            "targeting": rules[n % 5],
        }
        for n in range(OWN)
    }  # fmt: skip
    core = FlagdCore()
    core.set_flags(json.dumps({"flags": flags}))
    callers = [
        EvaluationContext(c["targetingKey"], {"tier": c["tier"], "age": c["age"]})
        for c, _ in zip(contexts(), range(ROUNDS // 10), strict=False)
    ]
    start = time.process_time()
    for caller in callers:
        for key in flags:
            core.resolve_boolean_value(key, default_value=False, ctx=caller)
    return (time.process_time() - start) / (len(callers) * OWN) * 1e6


def quantiles(latencies: list[float]) -> dict[str, float]:
    cuts = statistics.quantiles(latencies, n=1000)
    return {"p50": cuts[499], "p95": cuts[949], "p99": cuts[989], "max": max(latencies)}


def measure(port: int, process: psutil.Process) -> dict[str, float]:
    """Put one server under load; return its latencies, and its processor time for a request."""
    before = sum(process.cpu_times()[:2])
    found = quantiles(uvloop.run(load(port)))
    spent_s = sum(process.cpu_times()[:2]) - before
    return found | {"cpu": spent_s * 1000 / (RATE_PER_S * (SECONDS + WARM_UP_S))}


def main() -> int:
    """Measure both servers and the resolver; print, keep, judge."""
    with server("flags") as (port, process):
        length = asyncio.run(body_length(port))
        flags = measure(port, process)
    with server("floor", length) as (port, process):
        floor = measure(port, process)
    ours_us, theirs_us = resolver_us(), flagd_us()
    columns = ("p50", "p95", "p99", "max", "cpu")
    title = f"{FLAGS} flags, {length} bytes, {RATE_PER_S}/s; ms"
    print(f"{title:44}" + "".join(f"{column:>8}" for column in columns))
    for name, row in (("bare FastAPI, the same bytes", floor), ("flag-service", flags)):
        print(f"{name:44}" + "".join(f"{row[column]:8.2f}" for column in columns))
    print(f"resolver {ours_us:.2f} us a flag, flagd's evaluator for Python {theirs_us:.2f} us")
    print(f"bounds: p99 {P99_MS:g} ms, resolver {RESOLVER_US:g} us; load average {os.getloadavg()[0]:.1f}")
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    figures = {"floor": floor, "flags": flags, "resolver_us": ours_us, "flagd_python_us": theirs_us}
    RESULT.write_text(json.dumps(figures, indent=2), encoding="utf-8")
    if floor["p99"] > P99_MS:
        print("void: this machine is too busy even for the floor; measure again when it is free")
    return 0 if flags["p99"] <= P99_MS and ours_us < RESOLVER_US else 1


def _serve(kind: str) -> None:
    def ready(port: int) -> None:
        print(port, flush=True)

    uvloop.run(serve_flags(ready) if kind == "flags" else serve_floor(ready))


if __name__ == "__main__":
    if len(sys.argv) > 1:
        _serve(sys.argv[1])
    else:
        sys.exit(main())
