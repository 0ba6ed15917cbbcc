"""Stock, reservations and adjustments that keep answering while a dependency is away."""

from __future__ import annotations
