"""How often one caller may ask: a token bucket for each, as many as are remembered."""

from __future__ import annotations

import math
from collections import OrderedDict

CALLERS = 10_000


class RateLimit:
    """Lets a caller ask so many times a second, and twice that at once."""

    def __init__(self, per_s: float, callers: int = CALLERS) -> None:
        self._per_s = per_s
        self._burst = 2 * per_s
        self._callers = callers
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait_s(self, caller: str, now_s: float) -> int:
        """Take a request: 0 lets it pass, else the whole seconds (1 at least) after which one will pass."""
        tokens, then_s = self._buckets.pop(caller, (self._burst, now_s))
        tokens = min(self._burst, tokens + max(0.0, now_s - then_s) * self._per_s)
        passes = tokens >= 1
        self._buckets[caller] = (tokens - passes, now_s)
        if len(self._buckets) > self._callers:
            self._buckets.popitem(last=False)
        return 0 if passes else max(1, math.ceil((1 - tokens) / self._per_s))
