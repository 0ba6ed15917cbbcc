"""A TCP proxy before each dependency, which does to bytes and connections what a bad network does."""

from __future__ import annotations

from .link import Link
from .order import Kind, Order

__all__ = ["Kind", "Link", "Order"]
