"""From what the application knows to what goes over the wire."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import floor

from starlette.responses import Response

from inventory_api.application.adjusting import Adjusted
from inventory_api.application.reserving import Seen
from inventory_api.application.stock_reader import Reading
from inventory_api.application.store import Answer
from inventory_api.domain.adjustment import LedgerEntry
from inventory_api.domain.operation import Operation
from inventory_api.domain.sku import Location, Sku
from inventory_api.domain.stock import StockLevel, bucket

from .fields import Out
from .schemas import (
    AdjustmentOut,
    AvailabilityOut,
    HeldLineOut,
    LedgerOut,
    LevelOut,
    LocationOut,
    OperationOut,
    PlaceAvailability,
    ReservationOut,
    SkuOut,
    StockOut,
)

STALE_IF_ERROR_S = 900


def render(body: Out, status: int = 200, headers: Mapping[str, str] | None = None) -> Answer:
    """Write a body as an answer."""
    return Answer(status, headers or {}, body.model_dump_json())


def respond(answer: Answer) -> Response:
    """Send an answer."""
    media_type = "application/json" if answer.status < 400 else "application/problem+json"  # noqa: PLR2004 - HTTP
    return Response(answer.body, answer.status, dict(answer.headers), media_type=media_type)


def freshness(readings: Iterable[Reading]) -> dict[str, str]:
    """Return the headers that label an answer read from stock; `Age` only of stale ones."""
    stale = [reading.age_s for reading in readings if reading.stale]
    if not stale:
        return {"Cache-Control": "no-cache"}
    return {"Cache-Control": f"no-cache, stale-if-error={STALE_IF_ERROR_S}", "Age": str(floor(max(stale)))}


def sku_out(sku: Sku) -> SkuOut:
    """Show a SKU."""
    return SkuOut(
        sku=sku.sku,
        name=sku.name,
        category=sku.category,
        barcodes=sku.barcodes,
        attributes=dict(sku.attributes),
        safety_stock=sku.safety_stock,
        reorder_point=sku.reorder_point,
        created_at=sku.created_at,
        unit_cost=sku.unit_cost,
        backorder_limit=sku.backorder_limit,
    )


def location_out(location: Location) -> LocationOut:
    """Show a location."""
    return LocationOut(
        code=location.code, name=location.name, type=location.kind, created_at=location.created_at
    )


def stock_out(reading: Reading) -> StockOut:
    """Show all of a SKU's stock; of stale stock no number."""
    stock, stale = reading.stock, reading.stale
    return StockOut(
        sku=stock.sku.sku,
        status=stock.bucket,
        available=None if stale else stock.available,
        as_of=stock.as_of,
        stale=stale,
        locations=[_stale_level(level) if stale else level_out(level) for level in stock.levels],
    )


def availability_out(reading: Reading) -> AvailabilityOut:
    """Show what of a SKU can be promised."""
    stock, stale = reading.stock, reading.stale
    return AvailabilityOut(
        sku=stock.sku.sku,
        status=stock.bucket,
        available=None if stale else stock.available,
        as_of=stock.as_of,
        stale=stale,
        locations=[
            PlaceAvailability(
                location=level.place.location,
                status=bucket(level.available, level.reorder_point),
                available=None if stale else level.available,
            )
            for level in stock.levels
        ],
    )


def level_out(level: StockLevel) -> LevelOut:
    """Show a stock level."""
    return LevelOut(
        location=level.place.location,
        status=bucket(level.available, level.reorder_point),
        on_hand=level.on_hand,
        reserved=level.reserved,
        available=level.available,
        incoming=level.incoming,
        safety_stock=level.safety_stock,
        reorder_point=level.reorder_point,
        backorder_limit=level.backorder_limit,
        version=level.version,
        updated_at=level.updated_at,
    )


def _stale_level(level: StockLevel) -> LevelOut:
    return LevelOut(location=level.place.location, status=bucket(level.available, level.reorder_point))


def reservation_out(seen: Seen) -> ReservationOut:
    """Show a reservation as it was at the authority's time."""
    reservation = seen.reservation
    return ReservationOut(
        id=reservation.id,
        owner_ref=reservation.owner_ref,
        state=reservation.state_at(seen.at),
        created_at=reservation.created_at,
        expires_at=reservation.expires_at,
        lines=[
            HeldLineOut(
                sku=line.place.sku,
                location=line.place.location,
                quantity=line.quantity,
                held=line.held,
                confirmed=line.confirmed,
                released=line.released,
                expired=line.expired,
            )
            for line in reservation.lines
        ],
    )


def ledger_out(entry: LedgerEntry) -> LedgerOut:
    """Show a row of the ledger."""
    return LedgerOut(
        id=entry.id,
        sku=entry.place.sku,
        location=entry.place.location,
        sequence=entry.sequence,
        delta=entry.delta,
        before=entry.before,
        after=entry.after,
        reason=entry.reason,
        reference=entry.reference,
        actor=entry.actor,
        occurred_at=entry.occurred_at,
        recorded_at=entry.recorded_at,
    )


def adjustment_answer(adjusted: Adjusted) -> Answer:
    """Answer an adjustment that was applied."""
    return render(AdjustmentOut(entry=ledger_out(adjusted.entry), level=level_out(adjusted.level)), 201)


def operation_out(operation: Operation) -> OperationOut:
    """Show where an accepted write stands."""
    return OperationOut(
        id=operation.id,
        status=operation.state,
        accepted_at=operation.accepted_at,
        finished_at=operation.finished_at,
        code=operation.code,
        detail=operation.detail,
    )
