"""Reservations in PostgreSQL. Lines are written only under the lock of their stock level."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from uuid import UUID

from sqlalchemy import text

from inventory_api.domain.reservation import HeldLine, Reservation, ReservationState, Settlement, settled
from inventory_api.domain.stock import Place

from .session import Row, Session

_ADD = text("""
    WITH added AS (
        INSERT INTO reservations (owner_ref, state, expires_at)
        VALUES (:owner_ref, 'ACTIVE', clock_timestamp() + make_interval(secs => :ttl_s))
        RETURNING *
    ), lines AS (
        INSERT INTO reservation_lines (reservation_id, level_id, quantity, held, expires_at)
        SELECT added.id, w.level_id, w.quantity, w.quantity, added.expires_at
        FROM added, unnest(CAST(:ids AS bigint[]), CAST(:quantities AS bigint[])) AS w (level_id, quantity)
    )
    SELECT * FROM added
""")
# One statement for what is asked for most: each further round trip would cost as much as the writing itself.
_HOLD_PLAINLY = text("""
    WITH held AS (
        UPDATE stock_levels l
        SET reserved = l.reserved + :quantity, version = l.version + 1, updated_at = clock_timestamp()
        WHERE l.sku_id = (SELECT id FROM skus WHERE sku = :sku)
          AND l.location_id = (SELECT id FROM locations WHERE code = :code)
          AND l.on_hand - l.reserved - l.safety_stock + l.backorder_limit >= :quantity
          AND NOT EXISTS (
              SELECT FROM reservation_lines r
              WHERE r.level_id = l.id AND r.held > 0 AND r.expires_at <= statement_timestamp()
          )
        RETURNING l.id
    ), added AS (
        INSERT INTO reservations (owner_ref, state, expires_at)
        SELECT :owner_ref, 'ACTIVE', clock_timestamp() + make_interval(secs => :ttl_s) FROM held
        RETURNING *
    ), lines AS (
        INSERT INTO reservation_lines (reservation_id, level_id, quantity, held, expires_at)
        SELECT added.id, held.id, :quantity, :quantity, added.expires_at FROM added, held
    )
    SELECT added.*, held.id AS level_id FROM added, held
""")
LINES = text("""
    SELECT r.*, s.sku, p.code, clock_timestamp() AS seen_at FROM reservation_lines r
    JOIN stock_levels l ON l.id = r.level_id
    JOIN skus s ON s.id = l.sku_id
    JOIN locations p ON p.id = l.location_id
    WHERE r.reservation_id = CAST(:id AS uuid)
    ORDER BY r.level_id
""")
_FIND = text("SELECT *, clock_timestamp() AS seen_at FROM reservations WHERE id = CAST(:id AS uuid)")
_SETTLE = """
    WITH settled AS (
        UPDATE reservation_lines r SET held = r.held - w.quantity, {column} = r.{column} + w.quantity
        FROM unnest(CAST(:ids AS bigint[]), CAST(:quantities AS bigint[])) AS w (id, quantity)
        WHERE r.reservation_id = CAST(:id AS uuid) AND r.level_id = w.id
        RETURNING r.level_id, w.quantity
    ), closed AS (
        UPDATE reservations SET state = :state WHERE id = CAST(:id AS uuid) AND state <> :state
    )
    UPDATE stock_levels l
    SET reserved = l.reserved - settled.quantity, version = l.version + 1, updated_at = clock_timestamp()
    FROM settled WHERE l.id = settled.level_id
"""
_SETTLEMENTS = {
    Settlement.CONFIRM: text(_SETTLE.format(column="confirmed")),
    Settlement.RELEASE: text(_SETTLE.format(column="released")),
}
# As for holding. Locked in the order of every other writer; what changed while waiting for a lock is judged anew.
_SETTLE_PLAINLY = """
    WITH held AS (
        SELECT v.*, r.level_id, r.held FROM stock_levels l
        JOIN reservation_lines r ON r.level_id = l.id
        JOIN reservations v ON v.id = r.reservation_id
        WHERE v.id = CAST(:id AS uuid) AND v.state = 'ACTIVE' AND v.expires_at > clock_timestamp()
          AND r.held = r.quantity AND {possible}
          AND NOT EXISTS (SELECT FROM reservation_lines o WHERE o.reservation_id = v.id AND o.level_id <> r.level_id)
        FOR NO KEY UPDATE OF l, v, r
    ), line AS (
        UPDATE reservation_lines r SET held = 0, {column} = held.held FROM held
        WHERE r.reservation_id = held.id AND r.level_id = held.level_id
    ), closed AS (
        UPDATE reservations v SET state = '{state}' FROM held WHERE v.id = held.id
    ), level AS (
        UPDATE stock_levels l
        SET reserved = l.reserved - held.held, version = l.version + 1, updated_at = clock_timestamp() {sold}
        FROM held WHERE l.id = held.level_id
        RETURNING l.id, l.sku_id, l.location_id, l.on_hand, l.ledger_sequence
    ) {recorded}
    SELECT held.*, s.sku, p.code, clock_timestamp() AS seen_at FROM held
    JOIN level ON level.id = held.level_id
    JOIN skus s ON s.id = level.sku_id
    JOIN locations p ON p.id = level.location_id
"""
_PLAIN_SETTLEMENTS = {
    Settlement.CONFIRM: text(
        _SETTLE_PLAINLY.format(
            column="confirmed",
            state="CONFIRMED",
            possible="l.on_hand - r.held >= greatest(0, l.reserved - r.held - l.backorder_limit)",
            sold=", on_hand = l.on_hand - held.held, ledger_sequence = l.ledger_sequence + 1",
            recorded="""
    , recorded AS (
        INSERT INTO ledger (level_id, sequence, delta, before, after, reason, reference, actor, reservation_id,
                            occurred_at)
        SELECT level.id, level.ledger_sequence, -held.held, level.on_hand + held.held, level.on_hand, 'SALE',
               held.owner_ref, :actor, held.id, clock_timestamp()
        FROM held JOIN level ON level.id = held.level_id
    )
            """,
        )
    ),
    Settlement.RELEASE: text(
        _SETTLE_PLAINLY.format(column="released", state="RELEASED", possible="true", sold="", recorded="")
    ),
}
_EXPIRE = text("""
    WITH held AS (
        SELECT level_id, held FROM reservation_lines WHERE reservation_id = CAST(:id AS uuid) AND held > 0
    ), gone AS (
        UPDATE reservation_lines r SET held = 0, expired = r.expired + held.held FROM held
        WHERE r.reservation_id = CAST(:id AS uuid) AND r.level_id = held.level_id
        RETURNING r.level_id, held.held
    ), closed AS (
        UPDATE reservations SET state = 'EXPIRED' WHERE id = CAST(:id AS uuid)
    )
    UPDATE stock_levels l
    SET reserved = l.reserved - gone.held, version = l.version + 1, updated_at = clock_timestamp()
    FROM gone WHERE l.id = gone.level_id
""")
_EXTEND = text("""
    WITH extended AS (
        UPDATE reservations
        SET expires_at = greatest(expires_at, clock_timestamp() + make_interval(secs => :ttl_s))
        WHERE id = CAST(:id AS uuid)
        RETURNING id, expires_at
    ), lines AS (
        UPDATE reservation_lines r SET expires_at = extended.expires_at FROM extended
        WHERE r.reservation_id = extended.id
    )
    SELECT expires_at FROM extended
""")


class SqlReservations:
    """Reservations over one session."""

    def __init__(self, session: Session) -> None:
        self._session = session

    async def add(self, owner_ref: str, lines: Sequence[HeldLine], ttl_s: int) -> Reservation:
        """Add a reservation with its lines, in one statement."""
        values = {
            "owner_ref": owner_ref,
            "ttl_s": float(ttl_s),
            "ids": [line.level_id for line in lines],
            "quantities": [line.quantity for line in lines],
        }
        row = (await self._session.execute(_ADD, values)).one()
        return reservation_of(row, tuple(lines))

    async def hold_plainly(
        self, owner_ref: str, place: Place, quantity: int, ttl_s: int
    ) -> Reservation | None:
        """Hold in one statement."""
        values = {
            "owner_ref": owner_ref,
            "sku": place.sku,
            "code": place.location,
            "quantity": quantity,
            "ttl_s": float(ttl_s),
        }
        row = (await self._session.execute(_HOLD_PLAINLY, values)).first()
        if row is None:
            return None
        return reservation_of(row, (HeldLine(row["level_id"], place, quantity, quantity),))

    async def find(self, reservation_id: str) -> tuple[Reservation, datetime] | None:
        """Return a reservation and the database's time."""
        try:
            name = {"id": str(UUID(reservation_id))}
        except ValueError:
            return None
        row = (await self._session.execute(_FIND, name)).first()
        if row is None:
            return None
        return reservation_of(row, await self._lines(reservation_id)), row["seen_at"]

    async def settle_plainly(
        self, reservation_id: str, settlement: Settlement, actor: str
    ) -> tuple[Reservation, datetime] | None:
        """Settle in one statement."""
        try:
            values = {"id": str(UUID(reservation_id)), "actor": actor}
        except ValueError:
            return None
        row = (await self._session.execute(_PLAIN_SETTLEMENTS[settlement], values)).first()
        if row is None:
            return None
        held = HeldLine(row["level_id"], Place(row["sku"], row["code"]), row["held"], row["held"])
        before = reservation_of(row, (held,))
        return settled(before, settlement, {held.place: held.held}), row["seen_at"]

    async def settle(
        self, reservation: Reservation, settlement: Settlement, quantities: Mapping[int, int]
    ) -> None:
        """Move quantities out of what is held, and write the state, in one statement."""
        values = {
            "id": reservation.id,
            "state": reservation.state.value,
            "ids": list(quantities),
            "quantities": list(quantities.values()),
        }
        await self._session.execute(_SETTLEMENTS[settlement], values)

    async def extend(self, reservation_id: str, ttl_s: int) -> datetime:
        """Move the end of a reservation and of its lines."""
        values = {"id": reservation_id, "ttl_s": float(ttl_s)}
        until: datetime = (await self._session.execute(_EXTEND, values)).scalar_one()
        return until

    async def expire(self, reservation_id: str) -> None:
        """Give back all that is held, and close."""
        await self._session.execute(_EXPIRE, {"id": reservation_id})

    async def _lines(self, reservation_id: str) -> tuple[HeldLine, ...]:
        rows = await self._session.execute(LINES, {"id": reservation_id})
        return tuple(line_of(row) for row in rows)


def line_of(row: Row) -> HeldLine:
    """Read a line joined with its place."""
    line = HeldLine(row["level_id"], Place(row["sku"], row["code"]), row["quantity"], row["held"])
    return replace(line, confirmed=row["confirmed"], released=row["released"], expired=row["expired"])


def reservation_of(row: Row, lines: tuple[HeldLine, ...]) -> Reservation:
    """Read a reservation to which these lines belong."""
    return Reservation(
        id=str(row["id"]),
        owner_ref=row["owner_ref"],
        state=ReservationState(row["state"]),
        lines=lines,
        created_at=row["created_at"],
        expires_at=row["expires_at"],
    )
