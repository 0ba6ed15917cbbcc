"""Inline drawings of the console: the latency of the last probes, and the levels of a period. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from resilience_contracts import Level, LevelChanged, LevelView, Observation

SPARK_WIDTH, SPARK_HEIGHT = 120, 28
TIMELINE_WIDTH = 1_000.0
NARROWEST = 3.0
"""What lasted a moment is still seen."""


@dataclass(frozen=True, slots=True)
class Spark:
    """A line of latencies, and a mark for each probe that missed.

    Attributes:
        lines: points of one polyline for each run of answered probes.
        misses: x of each miss.
        words: the same for people who do not see it.
    """

    lines: tuple[str, ...]
    misses: tuple[float, ...]
    words: str


def spark(probes: Sequence[Observation], most: int) -> Spark | None:
    """Draw probes, oldest first, right-aligned in a box that has room for `most`; None without any."""
    counted = [probe for probe in probes if probe.outcome.counts][-most:]
    if not counted:
        return None
    took = [probe.latency_ms for probe in counted if probe.outcome.hit]
    highest = max(took, default=0.0) or 1.0
    step = SPARK_WIDTH / max(most - 1, 1)
    first = most - len(counted)
    runs: list[list[str]] = [[]]
    misses = []
    for index, probe in enumerate(counted, start=first):
        x = round(index * step, 1)
        if probe.outcome.hit:
            y = SPARK_HEIGHT - 2 - (SPARK_HEIGHT - 4) * probe.latency_ms / highest
            runs[-1].append(f"{x:g},{y:.1f}")
        else:
            misses.append(x)
            runs.append([])
    lines = tuple(" ".join(run if len(run) > 1 else run * 2) for run in runs if run)
    return Spark(lines, tuple(misses), _in_words(took, len(misses)))


def _in_words(took: Sequence[float], misses: int) -> str:
    ordered = sorted(took)
    missed = f"{misses} of {len(took) + misses} probes missed"
    if not ordered:
        return missed
    half = ordered[len(ordered) // 2]
    return f"Latency from {ordered[0]:.0f} to {ordered[-1]:.0f} ms, half within {half:.0f} ms; {missed}"


@dataclass(frozen=True, slots=True)
class Stretch:
    """A time at one level: `x` and `width` of 1,000, `row` from 0 (OPTIMAL) to 4."""

    x: float
    width: float
    row: int
    level: str


def timeline(
    changes: Sequence[LevelChanged], level: LevelView | None, now: datetime, period: timedelta
) -> list[Stretch]:
    """Draw the levels of a period, oldest first.

    Args:
        changes: newest first, as the history gives them; before the oldest, it was at the level that this one left.
        level: the current level; where nothing newer was heard, the line ends.
        now: where the period ends.
        period: how long it is.
    """
    start = now - period
    end = min(now, level.state.observed_at) if level and level.stale else now
    stretches = []
    for rank, name, began_at in _reached(changes, level, start):
        begins = max(began_at, start)
        if begins < end:
            x = (1 - (now - begins) / period) * TIMELINE_WIDTH
            width = max((end - begins) / period * TIMELINE_WIDTH, NARROWEST)
            x = min(x, TIMELINE_WIDTH - width)
            stretches.append(Stretch(round(x, 1), round(width, 1), Level.from_rank(rank).value, name))
        end = min(end, began_at)
    return stretches[::-1]


def _reached(
    changes: Sequence[LevelChanged], level: LevelView | None, start: datetime
) -> Iterator[tuple[int, str, datetime]]:
    """Yield rank, name and begin of each level, newest first."""
    for change in changes:
        yield change.to_rank, change.to_level, change.changed_at
        if change.changed_at <= start:
            return
    if changes:
        yield changes[-1].from_rank, changes[-1].from_level, start
    elif level:
        yield level.level, level.name, level.state.since
