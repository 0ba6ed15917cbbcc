"""100, 1,000 and 5,000 event streams on one flag-service: memory, and how long a change takes to reach all of them.

The floor: a bare asyncio server that writes the same number of bytes to as many sockets. Clients are plain sockets
in a process of their own (stream_crowd.py), so that what is measured is the server. One client in a hundred never
reads, and must neither slow the others down nor stay.
Bounds, with 5,000: under 400 MB; p99 from the request for a hold to its arrival at a client at most 1 s.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil
import uvloop

from resilience_contracts import FeatureState, Level
from resilience_runtime import KafkaPublisher
from tests.fixtures.stack import running_stack
from tests.flag_service.processes import Flags, World

SIZES, CLIENTS, CHANGES, SILENT_SHARE = (100, 1_000), 5_000, 20, 0.01
RSS_BOUND_MB, P99_BOUND_S = 400.0, 1.0
DROPPED_WITHIN_S = 45.0
"""So long those who never read may stay while changes go on: their buffers fill, and then they have ten seconds."""
MARKER = "bench change {:06d}"
MB = 1024 * 1024
CROWD = str(Path(__file__).with_name("stream_crowd.py"))
RESULT = Path(".stack/bench/flags_stream.json")

Change = Callable[[int, str], Awaitable[None]]
"""Makes the change of a number, which carries a text."""

FLOOR = """
import asyncio, sys, uvloop
clients = []
async def serve(reader, writer):
    head = await reader.readuntil(b"\\r\\n\\r\\n")
    if head.startswith(b"PUT"):
        body = head.split()[1][1:].replace(b"%20", b" ") + b"x" * int(sys.argv[1])
        for client in clients:
            client.write(body)
        writer.close()
    else:
        writer.write(b"HTTP/1.1 200 OK\\r\\n\\r\\n")
        clients.append(writer)
async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", 0, backlog=2048)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()
uvloop.run(main())
"""


@dataclass(frozen=True, slots=True)
class Found:
    """Seconds from the request to each client's having a change, and the memory of the server."""

    name: str
    clients: int
    latencies_s: list[float]
    rss_mb: float
    frame_bytes: int = 0
    silent_left: int = 0
    before_mb: float = 0.0

    def quantile_s(self, percent: int) -> float:
        return statistics.quantiles(self.latencies_s, n=100)[percent - 1]


@dataclass(frozen=True, slots=True)
class Crowd:
    """The clients of one server, in a process of their own."""

    process: asyncio.subprocess.Process
    clients: int

    async def next(self) -> dict[str, Any]:
        """Return its next line."""
        assert self.process.stdout
        line = await self.process.stdout.readline()
        assert line, "the crowd is gone"
        found: dict[str, Any] = json.loads(line)
        return found

    async def changes(self, number: int, change: Change) -> tuple[list[float], int]:
        """Make changes one after the other; return each client's seconds for each, and the bytes of one."""
        assert self.process.stdin
        taken: list[float] = []
        got_bytes = 0
        for index in range(number):
            marker = MARKER.format(index)
            self.process.stdin.write(f"{marker}\n".encode())
            began = time.monotonic()
            await change(index, marker)
            found = await self.next()
            assert not found["lost"], "a client that reads was dropped"
            taken += [at - began for at in found["arrived"]]
            got_bytes += found["bytes"]
        return taken, got_bytes // (self.clients * number)


@asynccontextmanager
async def crowd(port: int, clients: int, silent: int = 0) -> AsyncIterator[Crowd]:
    """Gather clients at a server, some of whom never read."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, *(CROWD, str(port), "/v1/stream", str(clients), str(silent)),
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, limit=64 * MB,
    )  # fmt: skip
    try:
        found = Crowd(process, clients)
        await found.next()
        yield found
    finally:
        process.kill()
        await process.wait()


@asynccontextmanager
async def serving(bootstrap: str, directory: Path, clients: int) -> AsyncIterator[tuple[World, Flags]]:
    """Run a flag service that lets so many in."""
    async with AsyncExitStack() as stack, KafkaPublisher(bootstrap) as publisher:
        world = World(bootstrap, directory, publisher, stack)
        await world.tell(Level.OPTIMAL)
        flags = await world.flags(STREAM_CLIENTS=str(2 * clients), RATE_LIMIT_PER_S="1000000")
        await flags.until_state(FeatureState.ENABLED)
        yield world, flags


async def service(
    bootstrap: str, directory: Path, clients: int, number: int, *, await_drop: bool = False
) -> Found:
    """Measure the service; some clients never read, and with `await_drop` changes go on until they are dropped."""
    async with serving(bootstrap, directory, clients) as (world, flags):
        process = psutil.Process(flags.process.pid)
        before_mb = process.memory_info().rss / MB

        async def change(index: int, marker: str) -> None:
            state = FeatureState.FALLBACK if index % 2 else FeatureState.DISABLED
            (await flags.put(world.scope, state=state, reason=marker)).raise_for_status()

        silent = max(1, int(clients * SILENT_SHARE))
        async with crowd(flags.client.base_url.port or 0, clients, silent) as gathered:
            taken, frame_bytes = await gathered.changes(number, change)
            rss_mb = process.memory_info().rss / MB
            left = await _silent_left(flags, clients)
            deadline_s = time.monotonic() + (DROPPED_WITHIN_S if await_drop else 0)
            while left and time.monotonic() < deadline_s:
                more, _ = await gathered.changes(1, change)
                taken += more
                left = await _silent_left(flags, clients)
        return Found("flag-service", clients, taken, rss_mb, frame_bytes, left, before_mb)


async def _silent_left(flags: Flags, clients: int) -> int:
    """Return how many who never read are still there, by the service's own count."""
    text = (await flags.client.get(flags.metrics_url)).text
    counted = next(line for line in text.splitlines() if line.startswith("flag_stream_clients "))
    return int(float(counted.split()[1])) - clients


async def floor(clients: int, number: int, frame_bytes: int) -> Found:
    """Measure a bare server with the same client."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", FLOOR, str(frame_bytes), stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout
        port = int(await process.stdout.readline())

        async def change(_index: int, marker: str) -> None:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(f"PUT /{marker.replace(' ', '%20')} HTTP/1.1\r\n\r\n".encode())
            writer.close()

        async with crowd(port, clients) as gathered:
            taken, _ = await gathered.changes(number, change)
        return Found("bare asyncio", clients, taken, psutil.Process(process.pid).memory_info().rss / MB)
    finally:
        process.kill()
        await process.wait()


async def measure(
    bootstrap: str, directory: Path, clients: int, number: int, *, await_drop: bool = False
) -> tuple[Found, Found]:
    """Measure the service, then the floor with frames of the same size."""
    ours = await service(bootstrap, directory, clients, number, await_drop=await_drop)
    return ours, await floor(clients, number, ours.frame_bytes)


def main() -> int:
    with (
        tempfile.TemporaryDirectory() as place,
        running_stack(Path(place), parts=("kafka",)) as stack,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        smaller = [
            one for size in SIZES for one in runner.run(measure(stack.bootstrap, Path(place), size, CHANGES))
        ]
        found = runner.run(measure(stack.bootstrap, Path(place), CLIENTS, CHANGES, await_drop=True))
    print("| | clients | p50 ms | p99 ms | worst ms | RSS MB |\n|---|---|---|---|---|---|")
    for one in (*smaller, *found):
        worst_ms = max(one.latencies_s) * 1000
        print(
            f"| {one.name} | {one.clients} | {one.quantile_s(50) * 1000:.0f} | {one.quantile_s(99) * 1000:.0f}"
            f" | {worst_ms:.0f} | {one.rss_mb:.0f} |"
        )
    ours = found[0]
    print(
        f"a change is {ours.frame_bytes} bytes a client; {ours.before_mb:.0f} MB without clients;"
        f" {ours.silent_left} of those that never read are left; load {os.getloadavg()[0]:.1f}"
    )
    faults = []
    if ours.rss_mb > RSS_BOUND_MB:
        faults.append(f"{ours.rss_mb:.0f} MB is above {RSS_BOUND_MB:.0f}")
    if ours.quantile_s(99) > P99_BOUND_S:
        faults.append(f"p99 of {ours.quantile_s(99):.2f} s is above {P99_BOUND_S:g}")
    if ours.silent_left:
        faults.append(
            f"{ours.silent_left} of those that never read were not dropped in {DROPPED_WITHIN_S:g} s"
        )
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    figures = [
        asdict(one) | {"latencies_s": [one.quantile_s(50), one.quantile_s(99)]} for one in (*smaller, *found)
    ]
    RESULT.write_text(json.dumps({"found": figures, "missed": faults}, indent=2), encoding="utf-8")
    print("\n".join(faults))
    return bool(faults)


if __name__ == "__main__":
    sys.exit(main())
