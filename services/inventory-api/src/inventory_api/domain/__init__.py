"""What stock is and may do: pure rules, no I/O, no clock of their own."""

from __future__ import annotations
