"""Every kind of fault: what it can be done to, how it is done, and how it is mended."""

from __future__ import annotations

from .kind import KINDS, Kind
from .site import Mend, Site

__all__ = ["KINDS", "Kind", "Mend", "Site"]
