"""What the `resilience` command can do, one module for each verb."""

from __future__ import annotations
