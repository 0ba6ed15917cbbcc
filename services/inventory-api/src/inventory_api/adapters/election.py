"""One replica does a job: the one that holds an advisory lock of the database."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from random import Random

import asyncpg
import structlog

from resilience_runtime import Backoff, Clock
from resilience_runtime.ending import end

log = structlog.get_logger(__name__)

CALL_S = 5.0
LEASE_CHECK_S = 1.0
ALONE = {"synchronous_commit": "local"}
"""What is done here, like forgetting what was published, can be done again: a standby that is away does not hold it up."""


@dataclass(frozen=True, slots=True)
class Duty:
    """A job that one replica has: its name, its lock, and the database that gives it."""

    job: str
    lock: int
    database_url: str


async def do_while_elected(
    duty: Duty, work: Callable[[asyncpg.Connection, Backoff], Awaitable[None]], clock: Clock
) -> None:
    """Do the work whenever this replica is elected, for ever; it ends with the connection that holds the lock.

    Args:
        duty: what is stood for.
        work: runs until it fails or is cancelled; it may use the connection, and resets the backoff once it goes well.
        clock: times the wait before the next attempt.
    """
    backoff = Backoff(Random(), first_s=0.5, most_s=5.0)  # noqa: S311 - spreads retries, guards nothing
    while True:
        try:
            await _stand(duty, work, backoff)
        except Exception as error:  # noqa: BLE001 - database and broker come and go; what waits is kept
            log.info("waits", job=duty.job, reason=f"{type(error).__name__}: {str(error)[:200]}")
        await clock.sleep(backoff.next_s())


async def _stand(
    duty: Duty, work: Callable[[asyncpg.Connection, Backoff], Awaitable[None]], backoff: Backoff
) -> None:
    async with asyncio.timeout(CALL_S):
        connection = await asyncpg.connect(duty.database_url, timeout=CALL_S, server_settings=ALONE)
    try:
        async with asyncio.timeout(CALL_S):
            elected = await connection.fetchval("SELECT pg_try_advisory_lock($1)", duty.lock)
        if elected:
            await _work_while_elected(connection, work, backoff)
    finally:
        connection.terminate()


async def _work_while_elected(
    connection: asyncpg.Connection,
    work: Callable[[asyncpg.Connection, Backoff], Awaitable[None]],
    backoff: Backoff,
) -> None:
    task = asyncio.ensure_future(work(connection, backoff))
    try:
        while not task.done():
            await asyncio.wait({task}, timeout=LEASE_CHECK_S)
            if connection.is_closed():
                raise ConnectionError("the connection that holds the lock is gone")
        task.result()
    finally:
        await end(task)
