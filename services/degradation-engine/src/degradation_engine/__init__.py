"""Turns health events into one of five levels per scope."""

from __future__ import annotations
