"""Tidies what nobody waits for: holds whose time is over, and answers that are too old to be asked for again.

Nothing depends on it: expiry is judged wherever stock is read or taken.
"""

from __future__ import annotations

import structlog
from sqlalchemy import text

from inventory_api.application.errors import BusyError, UnavailableError
from inventory_api.domain.stock import Place
from resilience_runtime import Clock

from .database import Database
from .levels import SqlLevels

log = structlog.get_logger(__name__)

INTERVAL_S = 5.0
BATCH = 200
ANSWERS_KEPT = "48 hours"

_DUE = text("""
    SELECT DISTINCT s.sku, p.code FROM (
        SELECT level_id FROM reservation_lines WHERE held > 0 AND expires_at <= statement_timestamp() LIMIT :batch
    ) due
    JOIN stock_levels l ON l.id = due.level_id
    JOIN skus s ON s.id = l.sku_id
    JOIN locations p ON p.id = l.location_id
""")
_CLOSE = text("""
    UPDATE reservations SET state = 'EXPIRED' WHERE id IN (
        SELECT r.id FROM reservations r
        WHERE r.state IN ('ACTIVE', 'PARTIAL') AND r.expires_at <= statement_timestamp()
          AND NOT EXISTS (SELECT FROM reservation_lines n WHERE n.reservation_id = r.id AND n.held > 0)
        LIMIT :batch FOR UPDATE SKIP LOCKED
    )
""")
_FORGET = text(f"""
    DELETE FROM answers WHERE (caller, key) IN (
        SELECT caller, key FROM answers WHERE created_at < clock_timestamp() - interval '{ANSWERS_KEPT}' LIMIT :batch
    )
""")  # noqa: S608 - a constant of this file


class Tidying:
    """Runs beside the service, in small steps."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def run(self) -> None:
        """Tidy for ever."""
        while True:
            await self._clock.sleep(INTERVAL_S)
            if not self._database.breaker.is_call_permitted():
                continue
            try:
                await self.tidy()
            except (UnavailableError, BusyError):
                continue
            except Exception:
                log.exception("tidying failed")

    async def tidy(self) -> None:
        """Tidy one batch."""
        async with self._database.writing() as session:
            rows = (await session.execute(_DUE, {"batch": BATCH})).all()
            await SqlLevels(session).lock([Place(row.sku, row.code) for row in rows])
        async with self._database.writing() as session:
            await session.execute(_CLOSE, {"batch": BATCH})
            await session.execute(_FORGET, {"batch": BATCH})
