"""Outages of one dependency, and what the closed ones teach about the length of the next."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from .instant import MINUTE_MS
from .sighting import Run

CLOSING_HITS = 3
SHORTEST_MIN = 1 / 60
"""A second: shorter outages count as this long, so that their logarithm is finite."""


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of absence; `told` is False when its length teaches nothing: credentials, unknown start."""

    start_ms: int
    end_ms: int
    told: bool


@dataclass(frozen=True, slots=True)
class Lengths:
    """Count, mean and sum of squared deviations of log-minutes (Welford 1962)."""

    count: int = 0
    mean: float = 0.0
    squares: float = 0.0

    def add(self, minutes: float) -> Lengths:
        """Return the figures with one more outage."""
        log_minutes = math.log(max(minutes, SHORTEST_MIN))
        count = self.count + 1
        shift = log_minutes - self.mean
        mean = self.mean + shift / count
        return Lengths(count, mean, self.squares + shift * (log_minutes - mean))


@dataclass(frozen=True, slots=True)
class Outages:
    """The open outage, the last closed one (which a soon return would prolong), and those before."""

    open: Span | None = None
    last: Span | None = None
    lengths: Lengths = Lengths()

    def learned(self) -> Lengths:
        """Return the figures over all closed outages."""
        return _with(self.lengths, self.last)


def follow(outages: Outages, run: Run, *, down: bool, merge_ms: int) -> Outages:
    """Take the newest run of results.

    An outage opens when the dependency is DOWN by misses, at the first of them, and closes at the first of
    three hits in a row. One that opens within `merge_ms` of the last one's end goes on with that one.
    """
    if outages.open is None:
        return _opened(outages, run, merge_ms) if down and run.misses else outages
    if run.misses:
        return _told(outages, told=outages.open.told and not run.auth)
    return _closed(outages, run) if run.hits >= CLOSING_HITS else outages


def _opened(outages: Outages, run: Run, merge_ms: int) -> Outages:
    told = not run.auth and not run.cut
    last = outages.last
    if last and run.since_ms - last.end_ms <= merge_ms:
        return replace(outages, open=Span(last.start_ms, last.start_ms, told and last.told), last=None)
    return Outages(Span(run.since_ms, run.since_ms, told), None, outages.learned())


def _told(outages: Outages, *, told: bool) -> Outages:
    if outages.open is None or outages.open.told == told:
        return outages
    return replace(outages, open=replace(outages.open, told=told))


def _closed(outages: Outages, run: Run) -> Outages:
    if outages.open is None:
        return outages
    ended = replace(outages.open, end_ms=max(outages.open.start_ms, run.since_ms))
    return Outages(None, ended, outages.lengths)


def _with(lengths: Lengths, span: Span | None) -> Lengths:
    if span is None or not span.told:
        return lengths
    return lengths.add((span.end_ms - span.start_ms) / MINUTE_MS)
