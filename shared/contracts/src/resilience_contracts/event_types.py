"""Every event that there is."""

from __future__ import annotations

from .events import AdjustmentCommand, AuditRecorded, Event, HealthObserved, HoldSet, LevelChanged, LevelState
from .inventory_events import BackInStock, CountCommand, LedgerRecorded, LowStock, RowsWritten, StockState

EVENTS: tuple[type[Event], ...] = (
    HealthObserved,
    LevelState,
    LevelChanged,
    HoldSet,
    AuditRecorded,
    AdjustmentCommand,
    CountCommand,
    StockState,
    LedgerRecorded,
    LowStock,
    BackInStock,
    RowsWritten,
)
