"""One file per probe; each imports its driver only when it is loaded, which only a configured probe is."""

from __future__ import annotations
