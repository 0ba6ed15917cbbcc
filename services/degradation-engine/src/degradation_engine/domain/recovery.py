"""When a level is expected to be better (degradation-policy, section 5).

Log-minutes of outages are normal with unknown mean and variance under a normal-inverse-gamma prior, so the
length of the next one is Student-t in log space (Gelman et al., Bayesian Data Analysis, 3rd ed., 3.3). The
time until the level is better is computed exactly from the sets of dependencies still down rather than by
drawing samples: the same answer each time, and cheap enough for thousands of scopes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from .instant import MINUTE_MS, SECOND_MS
from .outage import Lengths
from .student import survival

METHOD = "log-normal outages, normal-inverse-gamma prior"
PRIOR_STRENGTH = 2.0
PRIOR_SHAPE = 2.0
LOW, MEDIAN, HIGH = 0.1, 0.5, 0.9
SHORTEST_S, LONGEST_S = 0.1, 30 * 86_400.0
BISECTIONS = 14
"""They find a quantile to a thousandth of itself."""
ENUMERATED = 8
"""So many dependencies down are told apart by set; with more of them all are waited for."""


@dataclass(frozen=True, slots=True)
class Prior:
    """What is believed of outages before one was seen."""

    median_min: float
    log_sd: float


PRIORS = {"openai": Prior(77.0, 1.19)}
"""From 329 public incidents of 2020-2024."""
DEFAULT_PRIOR = Prior(5.0, 1.2)
"""A declared guess."""


@dataclass(frozen=True, slots=True)
class Predictive:
    """The length of the next outage: Student-t in log-minutes."""

    centre: float
    scale: float
    df: int

    def outlasts(self, minutes: float) -> float:
        """Return the probability that an outage is longer than this."""
        if minutes <= 0:
            return 1.0
        return survival((math.log(minutes) - self.centre) / self.scale, self.df)


@dataclass(frozen=True, slots=True)
class Ongoing:
    """An open outage: how long such ones last, and how long this one has."""

    predictive: Predictive
    age_ms: int
    samples: int


@dataclass(frozen=True, slots=True)
class Remaining:
    """Quantiles of the time that remains, in seconds, and the closed outages they rest on."""

    q10_s: float
    q50_s: float
    q90_s: float
    samples: int


def predictive(lengths: Lengths, prior: Prior) -> Predictive:
    """Return the posterior predictive after the closed outages."""
    n, centre = lengths.count, math.log(prior.median_min)
    strength, shape = PRIOR_STRENGTH + n, PRIOR_SHAPE + n / 2
    surprise = PRIOR_STRENGTH * n * (lengths.mean - centre) ** 2 / (2 * strength)
    rate = prior.log_sd**2 * (PRIOR_SHAPE - 1) + lengths.squares / 2 + surprise
    return Predictive(
        centre=(PRIOR_STRENGTH * centre + n * lengths.mean) / strength,
        scale=math.sqrt(rate * (strength + 1) / (shape * strength)),
        df=round(2 * shape),
    )


def ongoing(name: str, lengths: Lengths, age_ms: int) -> Ongoing:
    """Describe the open outage of a dependency."""
    return Ongoing(predictive(lengths, PRIORS.get(name, DEFAULT_PRIOR)), age_ms, lengths.count)


def remaining(down: Mapping[str, Ongoing], still_bad: Callable[[frozenset[str]], bool]) -> Remaining | None:
    """Return how long it takes until enough dependencies are back.

    Args:
        down: the open outages.
        still_bad: whether the level is no better while exactly these are still down.

    Returns:
        None when nothing is down, or when the level stays as it is even with all of them back.
    """
    if not down or still_bad(frozenset()):
        return None
    bad = _bad_sets(sorted(down), still_bad)

    reached = {name: part.predictive.outlasts(part.age_ms / MINUTE_MS) for name, part in down.items()}

    def outlasts(seconds: float) -> float:
        away = {name: _still_down(part, reached[name], seconds) for name, part in down.items()}
        return _probability(away, bad)

    low, median, high = (_quantile(outlasts, share) for share in (LOW, MEDIAN, HIGH))
    return Remaining(low, median, high, sum(part.samples for part in down.values()))


def _bad_sets(
    names: Sequence[str], still_bad: Callable[[frozenset[str]], bool]
) -> tuple[frozenset[str], ...] | None:
    if len(names) > ENUMERATED:
        return None
    sets = (frozenset(some) for size in range(1, len(names) + 1) for some in combinations(names, size))
    return tuple(some for some in sets if still_bad(some))


def _probability(away: Mapping[str, float], bad: tuple[frozenset[str], ...] | None) -> float:
    """Return how probable a bad set is, from how probably each is away."""
    if bad is None:
        return 1.0 - math.prod(1.0 - share for share in away.values())
    return sum(
        math.prod(share if name in some else 1.0 - share for name, share in away.items()) for some in bad
    )


def _still_down(part: Ongoing, reached: float, seconds: float) -> float:
    if reached <= 0.0:
        return 1.0
    return part.predictive.outlasts(part.age_ms / MINUTE_MS + seconds * SECOND_MS / MINUTE_MS) / reached


def _quantile(outlasts: Callable[[float], float], share: float) -> float:
    low, high = math.log(SHORTEST_S), math.log(LONGEST_S)
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        if outlasts(math.exp(middle)) > 1.0 - share:
            low = middle
        else:
            high = middle
    return math.exp(high)
