"""What can go wrong with stock; each error has a stable code."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar


class InventoryError(Exception):
    """The inventory refused."""

    code: ClassVar[str] = "inventory_error"

    def __init__(self, detail: str | None = None) -> None:
        super().__init__(detail or (self.__class__.__doc__ or "").strip())

    @property
    def detail(self) -> str:
        """One sentence for people."""
        return str(self)


class InvalidSkuError(InventoryError):
    """This text is no SKU."""

    code = "invalid_sku"


class InvalidAdjustmentError(InventoryError):
    """This adjustment contradicts itself."""

    code = "invalid_adjustment"


class UnknownSkuError(InventoryError):
    """No such SKU."""

    code = "sku_not_found"


class UnknownLocationError(InventoryError):
    """No such location."""

    code = "location_not_found"


class UnknownReservationError(InventoryError):
    """No such reservation."""

    code = "reservation_not_found"


class UnknownOperationError(InventoryError):
    """No such operation."""

    code = "operation_not_found"


class UnknownImageError(InventoryError):
    """This SKU has no image."""

    code = "image_not_found"


class SkuExistsError(InventoryError):
    """A SKU with this text exists; SKUs that differ only in case count as the same."""

    code = "sku_exists"


class LocationExistsError(InventoryError):
    """A location with this code exists."""

    code = "location_exists"


@dataclass(frozen=True, slots=True)
class Shortage:
    """What one line asked for and what there was."""

    sku: str
    location: str
    requested: int
    available: int


class InsufficientStockError(InventoryError):
    """There is not enough stock."""

    code = "insufficient_stock"

    def __init__(self, shortages: Sequence[Shortage]) -> None:
        super().__init__()
        self.shortages = tuple(shortages)


class BackorderedError(InventoryError):
    """More than that is held already beyond what is on hand."""

    code = "backordered"


class QuantityOutOfRangeError(InventoryError):
    """The stock would leave the range that can be counted exactly."""

    code = "quantity_out_of_range"


class ReservationExpiredError(InventoryError):
    """The reservation has expired; its stock is free again."""

    code = "reservation_expired"


class ReservationClosedError(InventoryError):
    """The reservation is closed already."""

    code = "reservation_closed"


class NotHeldError(InventoryError):
    """The reservation does not hold that much."""

    code = "not_held"


class UnknownTransferError(InventoryError):
    """No such transfer."""

    code = "transfer_not_found"


class InvalidTransferError(InventoryError):
    """A transfer goes from one location to another."""

    code = "invalid_transfer"


class TransferClosedError(InventoryError):
    """The transfer does not allow this step now."""

    code = "transfer_closed"


class NotInTransitError(InventoryError):
    """The transfer does not have that much in transit."""

    code = "not_in_transit"


class NotSoldError(InventoryError):
    """That much was not sold, or has come back already."""

    code = "not_sold"


class VersionMismatchError(InventoryError):
    """The stock level has changed since it was read."""

    code = "version_mismatch"


class UnknownWebhookError(InventoryError):
    """No such subscription."""

    code = "webhook_not_found"


class TooManyWebhooksError(InventoryError):
    """There are as many subscriptions as there may be."""

    code = "too_many_webhooks"


class BatchRefusedError(InventoryError):
    """A row cannot be applied, so none was."""

    code = "batch_refused"

    def __init__(self, row: int, cause: InventoryError) -> None:
        super().__init__(f"row {row}: {cause.detail}")
        self.row = row
        self.cause = cause


class KeyConflictError(InventoryError):
    """The Idempotency-Key does not go with this request."""

    code = "idempotency_key_conflict"


class KeyReusedError(KeyConflictError):
    """This Idempotency-Key was used for another request."""

    code = "idempotency_key_reused"


class KeyInFlightError(KeyConflictError):
    """The first request with this Idempotency-Key is still being worked on."""

    code = "idempotency_key_in_flight"
