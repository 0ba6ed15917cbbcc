"""The `resilience` command and the embedded stack behind it."""

from __future__ import annotations
