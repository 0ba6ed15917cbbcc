"""Stock levels in PostgreSQL: read without locks, locked in id order, changed by guarded updates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import groupby
from operator import itemgetter
from uuid import UUID

from sqlalchemy import text

from inventory_api.domain.adjustment import Adjustment, LedgerEntry, check_change
from inventory_api.domain.reservation import Reservation
from inventory_api.domain.stock import ON_HAND_MAX, LowLevel, Place, Stock, StockLevel

from .catalogue import sku_of
from .ledger import entry_of
from .reservations import LINES, line_of, reservation_of
from .session import Row, Session

# statement_timestamp() is stable, so that the index on expires_at serves; clock_timestamp() would read every hold.
_STOCK = text("""
    SELECT s.sku, s.name, s.category, s.barcodes, s.attributes, s.safety_stock, s.reorder_point, s.created_at,
           s.unit_cost, s.backorder_limit,
           l.id AS level_id, p.code, l.on_hand, l.incoming, l.version, l.updated_at,
           l.safety_stock AS level_safety, l.reorder_point AS level_reorder, l.backorder_limit AS level_backorder,
           l.reserved - COALESCE((
               SELECT sum(r.held) FROM reservation_lines r
               WHERE r.level_id = l.id AND r.held > 0 AND r.expires_at <= statement_timestamp()
           ), 0)::bigint AS reserved
    FROM skus s
    LEFT JOIN stock_levels l ON l.sku_id = s.id
    LEFT JOIN locations p ON p.id = l.location_id
    WHERE s.sku = ANY(CAST(:skus AS text[]))
    ORDER BY s.sku, p.code
""")
_LOW = text("""
    SELECT l.id AS level_id, s.sku, p.code, l.on_hand, l.reserved, l.incoming, l.version, l.updated_at,
           l.safety_stock AS level_safety, l.reorder_point AS level_reorder, l.backorder_limit AS level_backorder,
           w.since
    FROM low_stock w
    JOIN stock_levels l ON l.id = w.level_id
    JOIN skus s ON s.id = l.sku_id
    JOIN locations p ON p.id = l.location_id
    WHERE w.level_id > :after ORDER BY w.level_id LIMIT :limit
""")
_OPEN = text("""
    INSERT INTO stock_levels (sku_id, location_id, safety_stock, reorder_point, backorder_limit)
    SELECT s.id, p.id, s.safety_stock, s.reorder_point, s.backorder_limit FROM skus s, locations p
    WHERE s.sku = :sku AND p.code = :location
    ON CONFLICT DO NOTHING
""")
# By subqueries, so that each place is two index look-ups even on tables of which there are no statistics yet.
_LOCK = text("""
    SELECT l.id AS level_id, w.sku, w.code, l.on_hand, l.reserved, l.incoming, l.version, l.updated_at,
           l.safety_stock AS level_safety, l.reorder_point AS level_reorder, l.backorder_limit AS level_backorder,
           EXISTS (
               SELECT FROM reservation_lines r
               WHERE r.level_id = l.id AND r.held > 0 AND r.expires_at <= statement_timestamp()
           ) AS due
    FROM unnest(CAST(:skus AS text[]), CAST(:codes AS text[])) AS w (sku, code)
    JOIN stock_levels l ON l.sku_id = (SELECT id FROM skus WHERE sku = w.sku)
                       AND l.location_id = (SELECT id FROM locations WHERE code = w.code)
    ORDER BY l.id
    FOR NO KEY UPDATE OF l
""")
_EXPIRE_DUE = text("""
    WITH due AS (
        SELECT reservation_id, level_id, held FROM reservation_lines
        WHERE level_id = ANY(CAST(:ids AS bigint[])) AND held > 0 AND expires_at <= statement_timestamp()
    ), gone AS (
        UPDATE reservation_lines r SET held = 0, expired = r.expired + due.held FROM due
        WHERE r.reservation_id = due.reservation_id AND r.level_id = due.level_id
        RETURNING r.level_id, due.held
    ), sums AS (
        SELECT level_id, sum(held)::bigint AS held FROM gone GROUP BY level_id
    )
    UPDATE stock_levels l
    SET reserved = l.reserved - sums.held, version = l.version + 1, updated_at = clock_timestamp()
    FROM sums WHERE l.id = sums.level_id
""")
_LOCK_LINES = text("""
    SELECT id FROM stock_levels
    WHERE id IN (SELECT level_id FROM reservation_lines WHERE reservation_id = CAST(:id AS uuid))
    ORDER BY id FOR NO KEY UPDATE
""")
_LOCK_RESERVATION = text("SELECT * FROM reservations WHERE id = CAST(:id AS uuid) FOR NO KEY UPDATE")
_HOLD = text("""
    UPDATE stock_levels l
    SET reserved = l.reserved + w.quantity, version = l.version + 1, updated_at = clock_timestamp()
    FROM unnest(CAST(:ids AS bigint[]), CAST(:quantities AS bigint[])) AS w (id, quantity)
    WHERE l.id = w.id AND l.on_hand - l.reserved - l.safety_stock + l.backorder_limit >= w.quantity
    RETURNING l.id
""")
_CHANGE = text("""
    WITH changed AS (
        UPDATE stock_levels
        SET on_hand = on_hand + CAST(:delta AS bigint), ledger_sequence = ledger_sequence + 1,
            version = version + 1, updated_at = clock_timestamp()
        WHERE id = :level_id
          AND on_hand + CAST(:delta AS bigint) BETWEEN greatest(0, reserved - backorder_limit) AND :most
        RETURNING id, ledger_sequence, on_hand
    )
    INSERT INTO ledger (level_id, sequence, delta, before, after, reason, reference, actor, reservation_id,
                        command_id, transfer_id, batch_id, occurred_at)
    SELECT id, ledger_sequence, CAST(:delta AS bigint), on_hand - CAST(:delta AS bigint), on_hand, :reason,
           :reference, :actor, CAST(:reservation_id AS uuid), :command_id, CAST(:transfer_id AS uuid),
           CAST(:batch_id AS uuid), :occurred_at
    FROM changed
    RETURNING *
""")
_EXPECT = text("""
    UPDATE stock_levels SET incoming = incoming + :delta, version = version + 1, updated_at = clock_timestamp()
    WHERE id = :level_id
""")
_SET_THRESHOLDS = text("""
    UPDATE stock_levels SET safety_stock = :safety_stock, reorder_point = :reorder_point,
        backorder_limit = :backorder_limit, version = version + 1, updated_at = clock_timestamp()
    WHERE id = :level_id
""")
_COUNTERS = text("SELECT on_hand, reserved, backorder_limit FROM stock_levels WHERE id = :level_id")


class SqlLevels:
    """Stock levels over one session."""

    def __init__(self, session: Session) -> None:
        self._session = session

    async def stock(self, skus: Sequence[str], as_of: datetime) -> dict[str, Stock]:
        """Return the stock of those SKUs that exist."""
        rows = (await self._session.execute(_STOCK, {"skus": list(skus)})).all()
        return {sku: _stock_of(list(group), as_of) for sku, group in groupby(rows, itemgetter("sku"))}

    async def low(self, after_id: int, limit: int) -> list[LowLevel]:
        """Return a page of the list that the database keeps."""
        rows = await self._session.execute(_LOW, {"after": after_id, "limit": limit})
        return [LowLevel(level_of(row), row["since"]) for row in rows]

    async def open(self, place: Place) -> None:
        """Make sure that the place has a level."""
        await self._session.execute(_OPEN, place._asdict())

    async def lock(self, places: Sequence[Place]) -> dict[Place, StockLevel]:
        """Lock levels, tidying what has expired on them."""
        names = {"skus": [place.sku for place in places], "codes": [place.location for place in places]}
        rows = (await self._session.execute(_LOCK, names)).all()
        due = [row["level_id"] for row in rows if row["due"]]
        if due:
            await self._session.execute(_EXPIRE_DUE, {"ids": due})
            rows = (await self._session.execute(_LOCK, names)).all()
        levels = map(level_of, rows)
        return {level.place: level for level in levels}

    async def lock_reservation(self, reservation_id: str) -> tuple[Reservation, datetime] | None:
        """Lock levels first, then the reservation: the same order as every other writer."""
        if not is_uuid(reservation_id):
            return None
        name = {"id": reservation_id}
        await self._session.execute(_LOCK_LINES, name)
        row = (await self._session.execute(_LOCK_RESERVATION, name)).first()
        if row is None:
            return None
        lines = (await self._session.execute(LINES, name)).all()
        return reservation_of(row, tuple(map(line_of, lines))), lines[0]["seen_at"]

    async def hold(self, quantities: Mapping[int, int]) -> bool:
        """Reserve on locked levels."""
        values = {"ids": list(quantities), "quantities": list(quantities.values())}
        done = await self._session.execute(_HOLD, values)
        return len(done.all()) == len(quantities)

    async def change(self, level_id: int, adjustment: Adjustment) -> LedgerEntry:
        """Change a locked level and write its ledger row, in one statement."""
        values = {
            "level_id": level_id,
            "most": ON_HAND_MAX,
            "delta": adjustment.delta,
            "reason": adjustment.reason.value,
            "reference": adjustment.reference,
            "actor": adjustment.actor,
            "reservation_id": adjustment.reservation_id,
            "command_id": adjustment.command_id,
            "transfer_id": adjustment.transfer_id,
            "batch_id": adjustment.batch_id,
            "occurred_at": adjustment.occurred_at,
        }
        row = (await self._session.execute(_CHANGE, values)).first()
        if row is None:
            counters = (await self._session.execute(_COUNTERS, {"level_id": level_id})).one()
            check_change(
                adjustment.place,
                counters.on_hand,
                counters.reserved,
                adjustment.delta,
                backorder_limit=counters.backorder_limit,
            )
            raise AssertionError("the guarded update and check_change disagree")
        return entry_of(row, adjustment.place)

    async def expect(self, level_id: int, delta: int) -> None:
        """Change what is incoming."""
        await self._session.execute(_EXPECT, {"level_id": level_id, "delta": delta})

    async def set_thresholds(
        self, level_id: int, safety_stock: int, reorder_point: int, backorder_limit: int
    ) -> None:
        """Write the thresholds."""
        values = {
            "level_id": level_id,
            "safety_stock": safety_stock,
            "reorder_point": reorder_point,
            "backorder_limit": backorder_limit,
        }
        await self._session.execute(_SET_THRESHOLDS, values)


def is_uuid(text_: str) -> bool:
    """Say whether this can be an identifier."""
    try:
        UUID(text_)
    except ValueError:
        return False
    return True


def _stock_of(rows: list[Row], as_of: datetime) -> Stock:
    levels = tuple(level_of(row) for row in rows if row["level_id"] is not None)
    return Stock(sku_of(rows[0]), levels, as_of)


def level_of(row: Row) -> StockLevel:
    """Read the columns of a level."""
    return StockLevel(
        id=row["level_id"],
        place=Place(row["sku"], row["code"]),
        on_hand=row["on_hand"],
        reserved=row["reserved"],
        incoming=row["incoming"],
        safety_stock=row["level_safety"],
        reorder_point=row["level_reorder"],
        version=row["version"],
        updated_at=row["updated_at"],
        backorder_limit=row["level_backorder"],
    )
