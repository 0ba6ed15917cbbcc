"""How much will be sold: simple exponential smoothing of sales without their weekday's share, and an interval.

After Hyndman and Athanasopoulos, "Forecasting: Principles and Practice", 3rd edition, sections 8.1 and 8.7. The
packages statsmodels and statsforecast give more models, but loading the former alone takes a replica 133 MB.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, sqrt
from statistics import NormalDist, fmean

WEEK = 7
WEEKS_FOR_WEEKDAYS = 4
INTERVAL = 0.8
_Z = NormalDist().inv_cdf(0.5 + INTERVAL / 2)
_ALPHAS = [step / 20 for step in range(1, 20)]


@dataclass(frozen=True, slots=True)
class Expectation:
    """Units of one day: what is expected, and the ends of the 80 % interval."""

    expected: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Forecast:
    """Days ahead, and the smoothing that gave them."""

    days: tuple[Expectation, ...]
    alpha: float
    by_weekday: bool

    @property
    def total(self) -> float:
        """Units expected over all the days."""
        return sum(day.expected for day in self.days)


def forecast(sold: Sequence[int], horizon: int) -> Forecast:
    """Forecast daily sales.

    Args:
        sold: units of each past day, oldest first, up to yesterday; days without sales are 0.
        horizon: days ahead.
    """
    if not any(sold):
        return Forecast((Expectation(0.0, 0.0, 0.0),) * horizon, _ALPHAS[0], by_weekday=False)
    by_weekday = len(sold) >= WEEK * WEEKS_FOR_WEEKDAYS
    shares = _shares(sold) if by_weekday else [1.0] * WEEK
    # A weekday on which nothing is ever sold says nothing of the level.
    plain = [sold[day] / shares[day % WEEK] for day in range(len(sold)) if shares[day % WEEK]]
    alpha = min(_ALPHAS, key=lambda each: _squares(plain, each))
    level, spread = _smooth(plain, alpha), sqrt(_squares(plain, alpha) / max(1, len(plain) - 1))
    days = []
    for ahead in range(1, horizon + 1):
        share = shares[(len(sold) + ahead - 1) % WEEK]
        reach = _Z * spread * sqrt(1 + (ahead - 1) * alpha**2)
        days.append(Expectation(level * share, max(0.0, level - reach) * share, (level + reach) * share))
    return Forecast(tuple(days), alpha, by_weekday)


def _shares(sold: Sequence[int]) -> list[float]:
    """Return each weekday's mean over the mean of all; they average to 1."""
    whole = sold[len(sold) % WEEK :]
    means = [fmean(whole[day::WEEK]) for day in range(WEEK)]
    mean = fmean(means)
    offset = len(sold) % WEEK
    return [means[(day - offset) % WEEK] / mean if mean else 1.0 for day in range(WEEK)]


def _squares(values: Sequence[float], alpha: float) -> float:
    level, total = values[0], 0.0
    for value in values[1:]:
        total += (value - level) ** 2
        level += alpha * (value - level)
    return total


def _smooth(values: Sequence[float], alpha: float) -> float:
    level = values[0]
    for value in values[1:]:
        level += alpha * (value - level)
    return level


def order_quantity(
    position: int, safety_stock: int, reorder_point: int, daily: float, cover_days: int
) -> int:
    """Return how much to order: up to the reorder point or what is sold in the days to cover, and the safety stock.

    Args:
        position: available and incoming units.
        safety_stock: of the level.
        reorder_point: of the level.
        daily: units expected to be sold in a day.
        cover_days: until the order after this one arrives.
    """
    return max(0, max(reorder_point + 1, ceil(daily * cover_days)) + safety_stock - position)
