"""Student's t with a whole number of degrees of freedom.

Source: Abramowitz and Stegun, Handbook of Mathematical Functions, 26.7.3 and 26.7.4. scipy.special would add
some 40 MB to every engine for these few lines.
"""

from __future__ import annotations

import math
from statistics import NormalDist

NORMAL_ABOVE = 200
_NORMAL = NormalDist()


def survival(t: float, df: int) -> float:
    """Return P(T > t).

    Args:
        t: a point, in units of the scale.
        df: degrees of freedom, at least 1; above 200 the normal approximation 26.7.8 is used.
    """
    if df > NORMAL_ABOVE:
        return _NORMAL.cdf(-t * (1 - 1 / (4 * df)) / math.sqrt(1 + t * t / (2 * df)))
    within = _within(abs(t), df)
    return (1 - within) / 2 if t > 0 else (1 + within) / 2


def _within(t: float, df: int) -> float:
    theta = math.atan(t / math.sqrt(df))
    cosine_squared = math.cos(theta) ** 2
    if df % 2:
        series = _series(cosine_squared, 2, df - 3) * math.cos(theta) if df > 1 else 0.0
        return 2 / math.pi * (theta + math.sin(theta) * series)
    return math.sin(theta) * _series(cosine_squared, 1, df - 3)


def _series(cosine_squared: float, first: int, last: int) -> float:
    total = term = 1.0
    for numerator in range(first, last + 1, 2):
        term *= cosine_squared * numerator / (numerator + 1)
        total += term
    return total
