"""What goes over the wire."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import AwareDatetime, Field, StrictInt

from inventory_api.domain.adjustment import Reason
from inventory_api.domain.operation import OperationState
from inventory_api.domain.reservation import ReservationState
from inventory_api.domain.sku import LocationKind
from inventory_api.domain.stock import Bucket

from .fields import (
    BATCH_MOST,
    EARLIEST,
    LATEST,
    LINES_MOST,
    TTL_MOST_S,
    Cost,
    Delta,
    In,
    LocationCode,
    Out,
    Quantity,
    Question,
    Reference,
    SkuText,
    Text,
    Threshold,
)

StatedReason = Literal[Reason.RECEIPT, Reason.SALE, Reason.DAMAGE, Reason.LOSS, Reason.CORRECTION]
"""RETURN, COUNT and TRANSFER_* are written by the routes that check what they need."""


class SkuIn(In):
    """A SKU to add."""

    sku: SkuText
    name: Text = Field(examples=["T-shirt, black, M"])
    category: Text | None = None
    barcodes: tuple[Reference, ...] = Field(default=(), max_length=20)
    attributes: dict[Reference, Text] = Field(default={}, max_length=50)
    safety_stock: Threshold = Field(default=0, description="of each new stock level: never promised")
    reorder_point: Threshold = Field(default=0, description="of each new stock level: at or under it is LOW")
    unit_cost: Cost | None = None
    backorder_limit: Threshold = Field(
        default=0, description="of each new stock level: so many may be held beyond what is available"
    )


class SkuOut(Out):
    """A SKU."""

    sku: str
    name: str
    category: str | None
    barcodes: tuple[str, ...]
    attributes: dict[str, str]
    safety_stock: int
    reorder_point: int
    created_at: datetime
    unit_cost: Decimal | None = Field(default=None, description="as text: an amount, never rounded")
    backorder_limit: int


class SkuPage(Out):
    """SKUs in the order of their text."""

    items: list[SkuOut]
    next_cursor: str | None


class LocationIn(In):
    """A location to add."""

    code: LocationCode
    name: Text = Field(examples=["Central warehouse"])
    type: LocationKind = LocationKind.WAREHOUSE


class LocationOut(Out):
    """A location."""

    code: str
    name: str
    type: LocationKind
    created_at: datetime


class LocationPage(Out):
    """Locations in the order of their code."""

    items: list[LocationOut]
    next_cursor: str | None


class LevelOut(Out):
    """Stock at one location. Of stale stock only `status` is told: a number would be a promise."""

    location: str
    status: Bucket
    on_hand: int | None = None
    reserved: int | None = None
    available: int | None = None
    incoming: int | None = None
    safety_stock: int | None = None
    reorder_point: int | None = None
    backorder_limit: int | None = Field(default=None, description="may be held beyond what is available")
    version: int | None = None
    updated_at: datetime | None = None


class StockOut(Out):
    """Stock of a SKU over its locations."""

    sku: str
    status: Bucket
    available: int | None = Field(description="null when stale")
    as_of: datetime
    stale: bool
    locations: list[LevelOut]


class AvailabilityIn(In):
    """SKUs to look up."""

    skus: Annotated[list[SkuText], Field(min_length=1, max_length=BATCH_MOST)]


class PlaceAvailability(Out):
    """Availability at one location."""

    location: str
    status: Bucket
    available: int | None = None


class AvailabilityOut(Out):
    """Availability of a SKU."""

    sku: str
    status: Bucket
    available: int | None = Field(description="null when stale")
    as_of: datetime
    stale: bool
    locations: list[PlaceAvailability]


class AvailabilityBatch(Out):
    """Availability of the SKUs that exist; `as_of` is the oldest."""

    items: list[AvailabilityOut]
    not_found: list[str]
    as_of: datetime
    stale: bool


class LineIn(In):
    """So many of a SKU at a location."""

    sku: SkuText
    location: LocationCode
    quantity: Quantity


class ReservationIn(In):
    """Lines to hold together. Lines of the same SKU and location are added up."""

    owner_ref: Reference = Field(examples=["cart-8675309"])
    lines: Annotated[list[LineIn], Field(min_length=1, max_length=LINES_MOST)]
    ttl_s: Annotated[StrictInt, Field(ge=1, le=TTL_MOST_S)] = 900


class SettlementIn(In):
    """What to confirm or release; without lines, all that is held."""

    lines: Annotated[list[LineIn], Field(min_length=1, max_length=LINES_MOST)] | None = None


class HeldLineOut(Out):
    """A line of a reservation; quantity = held + confirmed + released + expired."""

    sku: str
    location: str
    quantity: int
    held: int
    confirmed: int
    released: int
    expired: int


class ReservationOut(Out):
    """A reservation."""

    id: str
    owner_ref: str
    state: ReservationState
    created_at: datetime
    expires_at: datetime
    lines: list[HeldLineOut]


class AdjustmentIn(In):
    """A change of what is on hand. RECEIPT adds; SALE, DAMAGE and LOSS take; CORRECTION does either."""

    sku: SkuText
    location: LocationCode
    delta: Delta
    reason: StatedReason
    reference: Reference | None = Field(default=None, examples=["PO-2211"])
    occurred_at: AwareDatetime | None = Field(
        default=None, ge=EARLIEST, le=LATEST, description="when it happened; by default now"
    )


class LedgerOut(Out):
    """A row of the ledger."""

    id: int
    sku: str
    location: str
    sequence: int
    delta: int
    before: int
    after: int
    reason: Reason
    reference: str | None
    actor: str
    occurred_at: datetime
    recorded_at: datetime


class LedgerPage(Out):
    """Rows of the ledger, oldest first."""

    items: list[LedgerOut]
    next_cursor: str | None


class AdjustmentOut(Out):
    """The ledger row, and the level after it."""

    entry: LedgerOut
    level: LevelOut


class OperationOut(Out):
    """Where an accepted write stands."""

    id: str
    status: OperationState
    accepted_at: datetime
    finished_at: datetime | None
    code: str | None = Field(description="why it is an exception")
    detail: str | None


class OperationPage(Out):
    """Accepted writes."""

    items: list[OperationOut]
    next_cursor: str | None


class QuestionIn(In):
    """A question about stock."""

    question: Question
    skus: Annotated[list[SkuText], Field(max_length=20)] = Field(
        default=[], description="to look at; by default some"
    )


class AssistantOut(Out):
    """An answer; `source` says whether a model wrote it or rules did. The figures are always ours."""

    answer: str
    source: str = Field(examples=["model", "rules"])
    figures: list[AvailabilityOut]
