"""5,000 event streams on one flag-service: memory, and how long a change takes to reach all of them.

The floor: a bare asyncio server in a process of its own that writes the same number of bytes to as many sockets, with
the same client beside it. One client in a hundred never reads, and must neither slow the others down nor stay.
Bounds: under 400 MB; p99 from the request for a hold to its arrival at a client at most 1 s.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import cast

import psutil
import uvloop

from resilience_contracts import FeatureState, Level
from resilience_runtime import KafkaPublisher
from tests.fixtures.stack import running_stack
from tests.flag_service.processes import Flags, World

CLIENTS, CHANGES, SILENT_SHARE = 5_000, 20, 0.01
RSS_BOUND_MB, P99_BOUND_S = 400.0, 1.0
PATIENCE_S = 60.0
AT_ONCE = 100
MARKER = "bench change {:06d}"
MARKER_BYTES = len(MARKER.format(0))
MB = 1024 * 1024
RESULT = Path(".stack/bench/flags_stream.json")

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


@dataclass(slots=True)
class Crowd:
    """Clients of one server, and when each of them had the change that is waited for."""

    wanted: bytes = b"\0"
    arrived: list[float] = field(default_factory=list)
    opened: int = 0
    open: int = 0
    got_bytes: int = 0

    def has_opened(self, count: int) -> bool:
        return self.opened >= count


class Client(asyncio.Protocol):
    """Opens a stream and reads it."""

    def __init__(self, crowd: Crowd, path: str) -> None:
        self._crowd = crowd
        self._path = path
        self._tail = b""
        self._answered = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._crowd.open += 1
        writable = cast("asyncio.WriteTransport", transport)  # uvloop's is none by inheritance
        writable.write(f"GET {self._path} HTTP/1.1\r\nHost: bench\r\n\r\n".encode())

    def data_received(self, data: bytes) -> None:
        crowd = self._crowd
        if not self._answered:
            self._answered = True
            crowd.opened += 1
        crowd.got_bytes += len(data)
        if crowd.wanted in self._tail + data:
            crowd.arrived.append(time.perf_counter())
            self._tail = b""
        else:
            self._tail = data[-MARKER_BYTES:]

    def connection_lost(self, _exc: Exception | None) -> None:
        self._crowd.open -= 1


async def until(condition: Callable[[], bool], what: str) -> None:
    """Wait for a condition, looking a hundred times a second."""
    end = time.perf_counter() + PATIENCE_S
    while not condition():
        if time.perf_counter() > end:
            raise TimeoutError(what)
        await asyncio.sleep(0.01)


async def gather(crowd: Crowd, port: int, count: int, path: str = "/v1/stream") -> None:
    """Open so many streams, a hundred at a time."""
    loop = asyncio.get_running_loop()
    for start in range(0, count, AT_ONCE):
        number = min(AT_ONCE, count - start)
        opening = [
            loop.create_connection(lambda: Client(crowd, path), "127.0.0.1", port) for _ in range(number)
        ]
        await asyncio.gather(*opening)
        await until(partial(crowd.has_opened, start + number), "streams open")


def sleeper(port: int) -> socket.socket:
    """Open a stream that nobody reads."""
    sleeping = socket.socket()
    sleeping.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    sleeping.connect(("127.0.0.1", port))
    sleeping.sendall(b"GET /v1/stream HTTP/1.1\r\nHost: asleep\r\n\r\n")
    return sleeping


async def changes(
    crowd: Crowd, count: int, number: int, change: Callable[[str], Awaitable[object]]
) -> list[float]:
    """Make changes one after the other; return each client's seconds for each."""
    taken: list[float] = []
    for index in range(number):
        marker = MARKER.format(index)
        crowd.arrived, crowd.wanted = [], marker.encode()
        began = time.perf_counter()
        await change(marker)
        await until(lambda: len(crowd.arrived) >= count, f"{marker} at all of {count}")
        taken += [at - began for at in crowd.arrived]
    return taken


@asynccontextmanager
async def serving(bootstrap: str, directory: Path, clients: int) -> AsyncIterator[tuple[World, Flags]]:
    """Run a flag service that lets so many in."""
    async with AsyncExitStack() as stack, KafkaPublisher(bootstrap) as publisher:
        world = World(bootstrap, directory, publisher, stack)
        await world.tell(Level.OPTIMAL)
        flags = await world.flags(STREAM_CLIENTS=str(2 * clients), RATE_LIMIT_PER_S="1000000")
        await flags.until_state(FeatureState.ENABLED)
        yield world, flags


async def service(bootstrap: str, directory: Path, clients: int, number: int) -> Found:
    """Measure the service; some clients never read."""
    async with serving(bootstrap, directory, clients) as (world, flags):
        process = psutil.Process(flags.process.pid)
        before_mb = process.memory_info().rss / MB
        port, crowd = flags.client.base_url.port or 0, Crowd()
        silent = [sleeper(port) for _ in range(max(1, int(clients * SILENT_SHARE)))]
        await gather(crowd, port, clients)
        crowd.got_bytes = 0

        async def change(marker: str) -> None:
            state = (
                FeatureState.DISABLED if marker.endswith(("0", "2", "4", "6", "8")) else FeatureState.FALLBACK
            )
            answer = await flags.put(world.scope, state=state, reason=marker)
            answer.raise_for_status()

        taken = await changes(crowd, clients, number, change)
        frame_bytes = crowd.got_bytes // (clients * number)
        assert crowd.open == clients, "a client that reads was dropped"
        rss_mb = process.memory_info().rss / MB
        left = await _silent_left(flags, clients)
        for sleeping in silent:
            sleeping.close()
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
        port, crowd = int(await process.stdout.readline()), Crowd()
        await gather(crowd, port, clients)

        async def change(marker: str) -> None:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(f"PUT /{marker.replace(' ', '%20')} HTTP/1.1\r\n\r\n".encode())
            writer.close()

        taken = await changes(crowd, clients, number, change)
        return Found("bare asyncio", clients, taken, psutil.Process(process.pid).memory_info().rss / MB)
    finally:
        process.kill()
        await process.wait()


async def measure(bootstrap: str, directory: Path, clients: int, number: int) -> tuple[Found, Found]:
    """Measure the service, then the floor with frames of the same size."""
    ours = await service(bootstrap, directory, clients, number)
    return ours, await floor(clients, number, ours.frame_bytes)


def main() -> int:
    with (
        tempfile.TemporaryDirectory() as place,
        running_stack(Path(place), parts=("kafka",)) as stack,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        found = runner.run(measure(stack.bootstrap, Path(place), CLIENTS, CHANGES))
    print(f"{'':<14} {'clients':>7} {'p50 ms':>7} {'p99 ms':>7} {'worst ms':>8} {'RSS MB':>7}")
    for one in found:
        worst_ms = max(one.latencies_s) * 1000
        print(
            f"{one.name:<14} {one.clients:7} {one.quantile_s(50) * 1000:7.0f} {one.quantile_s(99) * 1000:7.0f}"
            f" {worst_ms:8.0f} {one.rss_mb:7.0f}"
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
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    figures = [asdict(one) | {"latencies_s": [one.quantile_s(50), one.quantile_s(99)]} for one in found]
    RESULT.write_text(json.dumps({"found": figures, "missed": faults}, indent=2), encoding="utf-8")
    print("\n".join(faults))
    return bool(faults)


if __name__ == "__main__":
    sys.exit(main())
