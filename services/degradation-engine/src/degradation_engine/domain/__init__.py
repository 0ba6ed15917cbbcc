"""The pure engine: health events in, one level per scope out. No clock, no I/O, no randomness."""

from __future__ import annotations

from .engine import Engine
from .refusal import EngineError, RefusalReason, Refused, StateUnreadable
from .report import Report

__all__ = ["Engine", "EngineError", "RefusalReason", "Refused", "Report", "StateUnreadable"]
