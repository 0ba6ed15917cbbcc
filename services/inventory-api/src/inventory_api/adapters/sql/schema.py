"""Brings the schema up to date at the start, and again and again until the database is there."""

from __future__ import annotations

import asyncio
import os
import sys

import asyncpg
import structlog

from inventory_api.migrations import newest_revision
from resilience_runtime import Backoff, Clock

log = structlog.get_logger(__name__)

CALL_S = 5.0
MIGRATION_S = 300.0


class Schema:
    """The schema of one database.

    Attributes:
        ready: whether it is known to be what this code needs.
        tried: whether it was brought up to date or could not be, so that waiting for it is over.
    """

    def __init__(self, url: str, clock: Clock, backoff: Backoff) -> None:
        self._url = url
        self._clock = clock
        self._backoff = backoff
        self.ready = False
        self.tried = False

    async def prepare(self) -> None:
        """Return once the schema is up to date; the service serves meanwhile."""
        while not self.ready:
            try:
                await self._bring_up_to_date()
            except Exception as error:  # noqa: BLE001 - an absent database in any of a driver's words
                self.tried = True
                log.warning("schema not checked yet", reason=type(error).__name__)
                await self._clock.sleep(self._backoff.next_s())
            else:
                self.ready = self.tried = True
                log.info("schema ready", revision=newest_revision())

    async def _bring_up_to_date(self) -> None:
        current = await self._current()
        if current is None or current < newest_revision():
            await self._migrate()

    async def _current(self) -> str | None:
        connection = await asyncpg.connect(self._url, timeout=CALL_S)
        cut = asyncio.get_running_loop().call_later(CALL_S, connection.terminate)
        try:
            if await connection.fetchval("SELECT to_regclass('alembic_version')") is None:
                return None
            current: str | None = await connection.fetchval("SELECT version_num FROM alembic_version")
            return current
        finally:
            cut.cancel()
            connection.terminate()

    async def _migrate(self) -> None:
        log.info("migrating", to=newest_revision())
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "inventory_api.migrations",
            env={**os.environ, "DATABASE_URL": self._url},
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            _, errors = await asyncio.wait_for(process.communicate(), MIGRATION_S)
        except BaseException:
            process.kill()
            await process.wait()
            raise
        if process.returncode:
            lines = errors.decode(errors="replace").strip().splitlines() or ["no output"]
            raise RuntimeError(f"migration failed: {lines[-1][:300]}")
