"""Where the engine meets Kafka, Faust aside."""

from __future__ import annotations
