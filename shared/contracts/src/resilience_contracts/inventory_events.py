"""The inventory's events: its stock as it is now, what changed it, and what is to be applied later."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, ClassVar

from pydantic import Field

from .events import Actor, Event, Part, Time
from .topics import Topic

COUNTABLE = 2**53 - 1
"""Beyond this a JSON reader may round."""

Sku = Annotated[str, Field(min_length=1, max_length=120)]
Location = Annotated[str, Field(min_length=1, max_length=60)]
Count = Annotated[int, Field(ge=-COUNTABLE, le=COUNTABLE)]


class PlaceStock(Part):
    """A SKU's counters at one location."""

    location: Location
    on_hand: Count
    reserved: Count
    incoming: Count
    safety_stock: Count
    reorder_point: Count
    available: Count = Field(description="on_hand - reserved - safety_stock, never below 0")
    version: int = Field(ge=1)


class StockState(Event):
    """The whole current stock of a SKU over its locations; a newer one has a higher sequence."""

    type: ClassVar[str] = "retail.inventory.stock.v1"
    topic: ClassVar[Topic] = Topic.STOCK

    sku: Sku
    sequence: int = Field(ge=0, description="grows with each change of the SKU's stock")
    available: Count
    locations: tuple[PlaceStock, ...]
    as_of: Time

    @property
    def event_id(self) -> str:
        return f"{self.sku}/{self.sequence}"

    @property
    def key(self) -> str:
        return self.sku

    @property
    def time(self) -> datetime:
        return self.as_of


class LedgerRecorded(Event):
    """One row of the ledger; `sequence` counts the rows of a SKU at a location from 1 without gaps."""

    type: ClassVar[str] = "retail.inventory.ledger.recorded.v1"
    topic: ClassVar[Topic] = Topic.CHANGES

    entry_id: int = Field(ge=1)
    sku: Sku
    location: Location
    sequence: int = Field(ge=1)
    delta: Count
    before: Count
    after: Count
    reason: str = Field(min_length=1, max_length=40)
    reference: str | None = Field(default=None, max_length=120)
    actor: Actor
    occurred_at: Time
    recorded_at: Time

    @property
    def event_id(self) -> str:
        return f"ledger/{self.entry_id}"

    @property
    def key(self) -> str:
        return self.sku

    @property
    def time(self) -> datetime:
        return self.recorded_at


class StockEdge(Event):
    """What is available of a SKU at a location has crossed a boundary, with the change to this version."""

    topic: ClassVar[Topic] = Topic.CHANGES

    sku: Sku
    location: Location
    available: Count
    reorder_point: Count
    version: int = Field(ge=1)
    crossed_at: Time

    @property
    def event_id(self) -> str:
        return f"{self.type}/{self.sku}/{self.location}/{self.version}"

    @property
    def key(self) -> str:
        return self.sku

    @property
    def time(self) -> datetime:
        return self.crossed_at


class LowStock(StockEdge):
    """What is available has fallen to the reorder point or under it; once per fall."""

    type: ClassVar[str] = "retail.inventory.stock.low.v1"


class BackInStock(StockEdge):
    """There was nothing available and now there is; once per rise."""

    type: ClassVar[str] = "retail.inventory.stock.back.v1"


class CountCommand(Event):
    """A stock count accepted while PostgreSQL is away; applied once, in order, after it is back."""

    type: ClassVar[str] = "retail.inventory.count.accepted.v1"
    topic: ClassVar[Topic] = Topic.COMMANDS

    command_id: str = Field(min_length=1, max_length=64)
    idempotency_key: str = Field(min_length=1, max_length=255)
    request_sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    sku: Sku
    location: Location
    counted: int = Field(ge=0, le=10**9)
    reference: str | None = Field(default=None, max_length=120)
    actor: Actor
    occurred_at: Time
    accepted_at: Time

    @property
    def event_id(self) -> str:
        return self.command_id

    @property
    def key(self) -> str:
        return self.sku

    @property
    def time(self) -> datetime:
        return self.accepted_at


class RowWrite(Part):
    """Rows of one table as one statement left them."""

    id: int = Field(ge=1, description="grows with each statement; rows of the same identity have its order")
    table: str = Field(min_length=1, max_length=63)
    rows_json: str = Field(min_length=2, description="a JSON array of rows, as PostgreSQL wrote it")


class RowsWritten(Event):
    """What transactions of the inventory left in its tables: the log that a restored backup is brought up to date by.

    For inventory-api's own database and nobody else. A group is complete when its last record is there; each
    transaction is in one group as a whole.
    """

    type: ClassVar[str] = "retail.inventory.rows.written.v1"
    topic: ClassVar[Topic] = Topic.WRITES

    lineage: str = Field(
        min_length=1, max_length=64, description="of the database and of what is restored from it"
    )
    begins: bool = Field(description="whether a group begins with this record")
    ends: bool = Field(description="whether the group is complete with it")
    writes: tuple[RowWrite, ...] = Field(min_length=1)
    read_at: Time

    @property
    def event_id(self) -> str:
        return f"{self.lineage}/{self.writes[0].id}"

    @property
    def key(self) -> str:
        return self.lineage

    @property
    def time(self) -> datetime:
        return self.read_at
