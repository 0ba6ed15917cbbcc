"""Runs the audits now and then on one replica, so that drift is an alarm and not a repair job."""

from __future__ import annotations

import asyncio

import asyncpg

from resilience_runtime import Backoff, Clock

from .election import Duty, do_while_elected
from .sql.audits import AUDITS

ELECTION = 7_267_004
"""Advisory lock of the one replica that audits."""
AUDIT_S = 60.0


class Auditing:
    """Counts violations while it holds the lock.

    Attributes:
        violations: by audit, of the last round; empty while another replica audits.
    """

    def __init__(self, database_url: str, interval_s: float, clock: Clock) -> None:
        self._duty = Duty("audit", ELECTION, database_url)
        self._interval_s = interval_s
        self._clock = clock
        self.violations: dict[str, int] = {}

    async def run(self) -> None:
        """Audit for ever."""
        await do_while_elected(self._duty, self._audit, self._clock)

    async def _audit(self, connection: asyncpg.Connection, backoff: Backoff) -> None:
        try:
            while True:
                self.violations |= await audit(connection)
                backoff.reset()
                await self._clock.sleep(self._interval_s)
        finally:
            self.violations = {}


async def audit(connection: asyncpg.Connection) -> dict[str, int]:
    """Count the violations of every invariant, each in one snapshot."""
    async with asyncio.timeout(AUDIT_S):
        return {name: int(await connection.fetchval(query)) for name, query in AUDITS.items()}
