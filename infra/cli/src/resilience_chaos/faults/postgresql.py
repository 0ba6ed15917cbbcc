"""Faults of PostgreSQL by its own means: no more connections, another password, nothing but reading."""

from __future__ import annotations

import asyncio
import secrets
import threading
from concurrent.futures import Future
from urllib.parse import urlsplit

import asyncpg

from resilience_cli.apart import run_apart

from .site import Mend, Site

OTHERS = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
    "WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
)
GRAB_S = 0.05


def connections(site: Site, _part: str) -> Mend:
    """Hang up on everybody and take every place, those kept for administrators too."""
    end, full = threading.Event(), Future[None]()
    thread = threading.Thread(target=lambda: asyncio.run(_crowd(_url(site), end, full)), name="crowd")
    thread.start()
    full.result(30)

    def mend() -> None:
        end.set()
        thread.join()

    return mend


def auth(site: Site, _part: str) -> Mend:
    """Change the password, and hang up on everybody who knew the old one."""
    url, other = urlsplit(_url(site)), secrets.token_hex(16)
    run_apart(_change(url.geturl(), str(url.username), other))
    changed = url._replace(netloc=f"{url.username}:{other}@{url.hostname}:{url.port}").geturl()
    return lambda: run_apart(_change(changed, str(url.username), str(url.password)))


def read_only(site: Site, _part: str) -> Mend:
    """Refuse every write, as a standby does after a failover that went to the wrong server."""
    run_apart(_say(_url(site), "ALTER DATABASE inventory SET default_transaction_read_only = on", OTHERS))
    return lambda: run_apart(
        _say(
            _url(site),
            "SET default_transaction_read_only = off",
            "ALTER DATABASE inventory RESET default_transaction_read_only",
            OTHERS,
        )
    )


def _url(site: Site) -> str:
    return site.state.env["DATABASE_URL"]


async def _change(url: str, user: str, password: str) -> None:
    await _say(url, f"ALTER ROLE {user} PASSWORD '{password}'", OTHERS)


async def _say(url: str, *statements: str) -> None:
    connection = await asyncpg.connect(url, timeout=5)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


async def _crowd(url: str, end: threading.Event, full: Future[None]) -> None:
    held: list[asyncpg.Connection] = []
    try:
        held.append(await asyncpg.connect(url, timeout=5))
        while not end.is_set():
            try:
                held.append(await asyncpg.connect(url, timeout=5))
            except (asyncpg.PostgresError, OSError, TimeoutError):
                await _others_away(held)
                if not full.done():
                    full.set_result(None)
                await asyncio.sleep(GRAB_S)
    except Exception as error:  # noqa: BLE001 - told to whoever waits
        if not full.done():
            full.set_exception(error)
    finally:
        for connection in held:
            connection.terminate()


async def _others_away(held: list[asyncpg.Connection]) -> None:
    """Hang up on whoever is not of the crowd; the place of each is taken next."""
    own = [connection.get_server_pid() for connection in held]
    await held[0].execute(f"{OTHERS} AND pid <> ALL(ARRAY{own}::int[])")
