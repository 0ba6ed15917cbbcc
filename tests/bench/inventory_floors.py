"""What `inventory_speed` compares with: an endpoint and a loop that do nothing but the work itself."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter, sleep

import asyncpg
import httpx

from resilience_cli.stack import free_ports

_BARE = """
import asyncio, sys, uvloop
from fastapi import FastAPI, Response
from resilience_runtime import serve
app, body = FastAPI(), open(sys.argv[2], "rb").read()
@app.get("/v1/stock/{sku}")
async def show(sku: str) -> Response:
    return Response(body, media_type="application/json")
asyncio.Runner(loop_factory=uvloop.new_event_loop).run(serve(app, "127.0.0.1", int(sys.argv[1])))
"""
_GUARDED = """
    UPDATE stock_levels SET reserved = reserved + $2, version = version + 1, updated_at = clock_timestamp()
    WHERE id = $1 AND on_hand - reserved - safety_stock >= $2
"""
_HOLD = """
    INSERT INTO reservations (owner_ref, state, expires_at)
    VALUES ($1, 'ACTIVE', clock_timestamp() + make_interval(secs => 900)) RETURNING *
"""
_LINE = """
    INSERT INTO reservation_lines (reservation_id, level_id, quantity, held, expires_at) VALUES ($1, $2, $3, $3, $4)
"""


@contextmanager
def bare_endpoint(body: bytes) -> Iterator[int]:
    """Serve bytes from a bare FastAPI endpoint over the services' uvicorn; give its port."""
    (port,) = free_ports(1)
    with tempfile.NamedTemporaryFile() as file:
        file.write(body)
        file.flush()
        process = subprocess.Popen([sys.executable, "-c", _BARE, str(port), file.name])
        try:
            while not _answers(port):
                sleep(0.05)
            yield port
        finally:
            process.terminate()
            process.wait()


def _answers(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/v1/stock/x", trust_env=False).is_success
    except httpx.HTTPError:
        return False


async def bare_holds(url: str, workers: int, seconds: float) -> float:
    """Hold in a bare asyncpg loop, without looking anything up; return holds each second."""
    connections = [await asyncpg.connect(url) for _ in range(workers)]
    levels = [row["id"] for row in await connections[0].fetch("SELECT id FROM stock_levels ORDER BY id")]
    end_s = perf_counter() + seconds

    async def work(number: int, connection: asyncpg.Connection) -> int:
        done = 0
        while perf_counter() < end_s:
            level = levels[(number + done * workers) % len(levels)]
            async with connection.transaction():
                assert await connection.execute(_GUARDED, level, 1) == "UPDATE 1"
                held = await connection.fetchrow(_HOLD, "cart")
                assert held is not None
                await connection.execute(_LINE, held["id"], level, 1, held["expires_at"])
            done += 1
        return done

    done = await asyncio.gather(*(work(number, each) for number, each in enumerate(connections)))
    for connection in connections:
        await connection.close()
    return sum(done) / seconds
