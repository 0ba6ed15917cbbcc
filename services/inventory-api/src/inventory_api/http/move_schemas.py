"""What goes over the wire of transfers, returns, counts, batches and thresholds."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated

from pydantic import AwareDatetime, Field, StrictBool, StrictInt, model_validator

from inventory_api.domain.stock import QUANTITY_MAX
from inventory_api.domain.transfer import TransferState

from .fields import (
    EARLIEST,
    LATEST,
    LINES_MOST,
    TTL_MOST_S,
    In,
    LocationCode,
    Out,
    Quantity,
    Reference,
    SkuText,
    Threshold,
)
from .schemas import AdjustmentIn, AdjustmentOut, LedgerOut, LevelOut, LineIn

ROWS_MOST = 1000


class ExtensionIn(In):
    """How long a reservation is to last from now."""

    ttl_s: Annotated[StrictInt, Field(ge=1, le=TTL_MOST_S)] = 900


class TransferLineIn(In):
    """So many of a SKU."""

    sku: SkuText
    quantity: Quantity


TransferLines = Annotated[list[TransferLineIn], Field(min_length=1, max_length=LINES_MOST)]


class TransferIn(In):
    """Stock to move. Lines of the same SKU are added up."""

    source: LocationCode
    destination: LocationCode
    lines: TransferLines
    reference: Reference | None = None
    at_once: StrictBool = Field(default=False, description="ship and receive it in the same transaction")


class ReceiptIn(In):
    """What arrived; without lines, all that is in transit."""

    lines: TransferLines | None = None
    close: StrictBool = Field(default=False, description="what is in transit still is lost: write it off")


class TransferLineOut(Out):
    """A line of a transfer; shipped = in_transit + received + returned + lost."""

    sku: str
    quantity: int
    shipped: int
    in_transit: int
    received: int
    returned: int
    lost: int


class TransferOut(Out):
    """A transfer."""

    id: str
    source: str
    destination: str
    state: TransferState
    reference: str | None
    created_at: datetime
    updated_at: datetime
    lines: list[TransferLineOut]


class ReturnIn(In):
    """What comes back, and which sale it was: that of a reservation, or the reference of a SALE."""

    reservation_id: Reference | None = None
    reference: Reference | None = Field(default=None, examples=["till-4/20261125/0042"])
    lines: Annotated[list[LineIn], Field(min_length=1, max_length=LINES_MOST)]

    @model_validator(mode="after")
    def _one_sale(self) -> ReturnIn:
        if (self.reservation_id is None) == (self.reference is None):
            raise ValueError("exactly one of reservation_id and reference is needed")
        return self


class ReturnOut(Out):
    """The ledger rows, and the levels after them."""

    items: list[AdjustmentOut]


class CountIn(In):
    """What was found on the shelf."""

    sku: SkuText
    location: LocationCode
    counted: Annotated[StrictInt, Field(ge=0, le=QUANTITY_MAX, examples=[12])]
    reference: Reference | None = None
    occurred_at: AwareDatetime | None = Field(
        default=None, ge=EARLIEST, le=LATEST, description="when it was counted; what happened later stays"
    )


class CountOut(Out):
    """The ledger row, null when the books were right, and the level after it."""

    entry: LedgerOut | None
    level: LevelOut


class BatchMode(StrEnum):
    """What a row that cannot be applied means for the others."""

    ATOMIC = "atomic"
    BEST_EFFORT = "best_effort"


class BatchIn(In):
    """Adjustments to apply in their order."""

    mode: BatchMode = BatchMode.ATOMIC
    items: Annotated[list[AdjustmentIn], Field(min_length=1, max_length=ROWS_MOST)]


class BatchRowOut(Out):
    """What became of a row, counted from 1: its ledger row, or why there is none."""

    row: int
    entry: LedgerOut | None = None
    code: str | None = None
    detail: str | None = None


class BatchOut(Out):
    """What became of a batch."""

    id: str
    applied: int
    failed: int
    items: list[BatchRowOut]


class ThresholdsIn(In):
    """A level's thresholds."""

    safety_stock: Threshold
    reorder_point: Threshold
    backorder_limit: Threshold | None = Field(default=None, description="left as it is by default")


class LowStockOut(Out):
    """A level at or under its reorder point."""

    sku: str
    location: str
    available: int
    on_hand: int
    incoming: int
    reorder_point: int
    since: datetime


class LowStockPage(Out):
    """Levels at or under their reorder point."""

    items: list[LowStockOut]
    next_cursor: str | None
