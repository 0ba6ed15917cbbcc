"""Is this feature on, and why: flags, holds, levels and streams of the resilience platform."""

from __future__ import annotations

from .settings import Settings

__all__ = ["Settings"]
