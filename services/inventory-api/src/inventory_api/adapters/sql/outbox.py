"""What has changed and is not published yet: read in the order in which it was written, and forgotten once it is out.

Triggers write it in the transaction of the change. Rows of one level are written under the lock of that level, so
their ids have the order of their commits; a row that commits late is found later, as nothing moves past it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

import asyncpg

from resilience_contracts import BackInStock, Event, LedgerRecorded, LowStock, PlaceStock, StockState

BATCH = 500
_TAKE = """
    SELECT o.*, l.sku_id, s.sku, p.code,
           e.sequence, e.delta, e.before, e.after, e.reason, e.reference, e.actor, e.occurred_at, e.recorded_at
    FROM (SELECT * FROM outbox ORDER BY id LIMIT $1) o
    JOIN stock_levels l ON l.id = o.level_id
    JOIN skus s ON s.id = l.sku_id
    JOIN locations p ON p.id = l.location_id
    LEFT JOIN ledger e ON e.id = o.ledger_id
    ORDER BY o.id
"""
_STATES = """
    SELECT s.sku, p.code, l.*, clock_timestamp() AS as_of FROM stock_levels l
    JOIN skus s ON s.id = l.sku_id
    JOIN locations p ON p.id = l.location_id
    WHERE l.sku_id = ANY($1::bigint[]) ORDER BY s.sku, p.code
"""
_FORGET = "DELETE FROM outbox WHERE id = ANY($1::bigint[])"
_EDGES = {"low": LowStock, "back": BackInStock}


@dataclass(frozen=True, slots=True)
class Taken:
    """The oldest rows: their ids, since when the first waits, and by SKU their events and then the state after them."""

    ids: tuple[int, ...]
    since: datetime | None
    events: tuple[tuple[Event, ...], ...]


async def take(connection: asyncpg.Connection) -> Taken:
    """Return up to `BATCH` rows, the oldest."""
    rows = await connection.fetch(_TAKE, BATCH)
    events: dict[str, list[Event]] = {}
    for row in rows:
        events.setdefault(row["sku"], []).extend(_changes(row))
    for state in _states(await connection.fetch(_STATES, list({row["sku_id"] for row in rows}))):
        events[state.sku].append(state)
    since = rows[0]["created_at"] if rows else None
    return Taken(tuple(row["id"] for row in rows), since, tuple(map(tuple, events.values())))


async def forget(connection: asyncpg.Connection, ids: Sequence[int]) -> None:
    """Remove rows that are published."""
    await connection.execute(_FORGET, ids)


def _changes(row: asyncpg.Record) -> Iterable[Event]:
    if row["kind"] == "recorded":
        yield LedgerRecorded(
            entry_id=row["ledger_id"],
            sku=row["sku"],
            location=row["code"],
            sequence=row["sequence"],
            delta=row["delta"],
            before=row["before"],
            after=row["after"],
            reason=row["reason"],
            reference=row["reference"],
            actor=row["actor"],
            occurred_at=row["occurred_at"],
            recorded_at=row["recorded_at"],
        )
    elif row["kind"] in _EDGES:
        yield _EDGES[row["kind"]](
            sku=row["sku"],
            location=row["code"],
            available=row["available"],
            reorder_point=row["reorder_point"],
            version=row["version"],
            crossed_at=row["created_at"],
        )


def _states(rows: Sequence[asyncpg.Record]) -> Iterable[StockState]:
    by_sku: dict[str, list[asyncpg.Record]] = {}
    for row in rows:
        by_sku.setdefault(row["sku"], []).append(row)
    for sku, levels in by_sku.items():
        places = tuple(_place(row) for row in levels)
        as_of: datetime = levels[0]["as_of"]
        # Versions only grow, and all were read in one snapshot: so does their sum.
        sequence = sum(place.version for place in places)
        available = sum(place.available for place in places)
        yield StockState(sku=sku, sequence=sequence, available=available, locations=places, as_of=as_of)


def _place(row: asyncpg.Record) -> PlaceStock:
    return PlaceStock(
        location=row["code"],
        on_hand=row["on_hand"],
        reserved=row["reserved"],
        incoming=row["incoming"],
        safety_stock=row["safety_stock"],
        reorder_point=row["reorder_point"],
        available=max(0, row["on_hand"] - row["reserved"] - row["safety_stock"]),
        version=row["version"],
    )
