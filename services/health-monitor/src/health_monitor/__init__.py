"""Probes each dependency as the services use it, and publishes what it saw."""

from __future__ import annotations

from .settings import Settings

__all__ = ["Settings"]
