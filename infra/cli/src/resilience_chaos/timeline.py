"""A picture of one experiment over time, as SVG: faults, the level at both consumers, every call."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from html import escape
from itertools import pairwise

from resilience_contracts import Level

from .record import NO_ANSWER, Call, Record, Sight
from .shop import PACE_S
from .watch import CONSUMERS

WIDTH, LEFT, RIGHT = 960, 110, 12
LEVEL_TOP, STEP, ROW = 44, 16, 16
TICKS = 10
SILENT_S = 1.5
"""A consumer of which nothing was seen for so long did not answer: its line has a gap."""
COLOURS = {"inventory-api": "#1f6feb", "flag-service": "#d97706"}
LEVELS = list(Level)
WORDS = {2: "#2da44e", 4: "#8c959f", 5: "#cf222e", 0: "#6e1a1a"}
"""Colours of answers by the class of their status: given, refused by rule, refused as away, none."""
LEGEND = (
    ("given", WORDS[2]),
    ("refused by rule", WORDS[4]),
    ("refused, something is away", WORDS[5]),
    ("no answer", WORDS[0]),
    ("dotted: stale", "none"),
)


def timeline(record: Record) -> str:
    """Draw a record; empty when nothing was seen."""
    ends = [sight.at_s for sight in record.sights] + [moment.at_s for moment in record.moments]
    if not ends:
        return ""
    picture = _Picture(record, max(ends) or 1.0)
    return "".join(picture.draw())


def _runs(sights: list[Sight]) -> Iterator[list[Sight]]:
    """Split what a consumer told where it fell silent, and where the level became stale or fresh."""
    run: list[Sight] = []
    for sight in sights:
        if run and sight.at_s - run[-1].at_s > SILENT_S:
            yield run
            run = []
        elif run and sight.stale is not run[-1].stale:
            yield [*run, replace(sight, stale=run[-1].stale)]
            run = []
        run.append(sight)
    if run:
        yield run


class _Picture:
    def __init__(self, record: Record, end_s: float) -> None:
        self._record, self._end_s = record, end_s
        self._calls_top = LEVEL_TOP + STEP * len(LEVELS) + 14
        self._bottom = self._calls_top + ROW * len(PACE_S)

    def draw(self) -> Iterator[str]:
        height = self._bottom + 44
        yield (
            f'<svg viewBox="0 0 {WIDTH} {height}" role="img" xmlns="http://www.w3.org/2000/svg" '
            f'font-family="system-ui, sans-serif" font-size="11"><title>{escape(self._record.name)} over time</title>'
        )
        yield from self._faults()
        yield from self._axis()
        yield from self._levels()
        yield from self._calls()
        yield from self._moments()
        yield from self._legend()
        yield "</svg>"

    def _x(self, at_s: float) -> float:
        return round(LEFT + (WIDTH - LEFT - RIGHT) * at_s / self._end_s, 1)

    def _faults(self) -> Iterator[str]:
        begun: float | None = None
        for moment in self._record.moments:
            if moment.kind == "fault" and begun is None:
                begun = moment.at_s
            elif moment.kind == "mended" and begun is not None:
                yield self._band(begun, moment.at_s)
                begun = None
        if begun is not None:
            yield self._band(begun, self._end_s)

    def _band(self, begin_s: float, end_s: float) -> str:
        width = max(1.0, self._x(end_s) - self._x(begin_s))
        return (
            f'<rect x="{self._x(begin_s)}" y="18" width="{width:.1f}" height="{self._bottom - 18}" '
            'fill="#cf222e" opacity="0.10"/>'
        )

    def _axis(self) -> Iterator[str]:
        step_s = max(1, round(self._end_s / TICKS))
        for at_s in range(0, int(self._end_s) + 1, step_s):
            x = self._x(at_s)
            yield f'<line x1="{x}" y1="{LEVEL_TOP}" x2="{x}" y2="{self._bottom}" stroke="#8c959f" opacity="0.25"/>'
            yield f'<text x="{x}" y="{self._bottom + 16}" text-anchor="middle" fill="currentColor">{at_s} s</text>'
        for level in LEVELS:
            yield self._label(self._level_y(level) + 4, level.name)

    def _label(self, y: float, text: str) -> str:
        return f'<text x="{LEFT - 8}" y="{y}" text-anchor="end" fill="currentColor">{escape(text)}</text>'

    def _level_y(self, level: Level) -> int:
        return LEVEL_TOP + 6 + STEP * LEVELS.index(level)

    def _levels(self) -> Iterator[str]:
        for shift, consumer in enumerate(CONSUMERS):
            sights = [sight for sight in self._record.sights if sight.consumer == consumer]
            for run in _runs(sights):
                yield self._level_line(run, consumer, 3 * shift)

    def _level_line(self, run: list[Sight], consumer: str, shift: int) -> str:
        points = [self._level_point(run[0].at_s, run[0].level, shift)]
        for before, after in pairwise(run):
            if after.level is not before.level:
                points += [self._level_point(after.at_s, each.level, shift) for each in (before, after)]
        points.append(self._level_point(run[-1].at_s, run[-1].level, shift))
        dashes = ' stroke-dasharray="2 3"' if run[0].stale else ""
        return (
            f'<polyline points="{" ".join(points)}" fill="none" stroke="{COLOURS[consumer]}" stroke-width="2"'
            f"{dashes}><title>{consumer}{', stale' if dashes else ''}</title></polyline>"
        )

    def _level_point(self, at_s: float, level: Level, shift: int) -> str:
        return f"{self._x(at_s)},{self._level_y(level) + shift}"

    def _legend(self) -> Iterator[str]:
        marks = [*COLOURS.items(), *LEGEND]
        x = LEFT
        for text, colour in marks:
            yield f'<rect x="{x}" y="{self._bottom + 26}" width="9" height="9" fill="{colour}"/>'
            yield f'<text x="{x + 13}" y="{self._bottom + 34}" fill="currentColor">{escape(text)}</text>'
            x += 13 + 6 * len(text) + 16

    def _calls(self) -> Iterator[str]:
        for row, kind in enumerate(PACE_S):
            y = self._calls_top + ROW * row
            yield self._label(y + 10, kind)
            yield from (self._call(call, y) for call in self._record.calls if call.kind == kind)

    def _call(self, call: Call, y: float) -> str:
        width = max(2.0, self._x(call.at_s + call.took_s) - self._x(call.at_s))
        colour = WORDS.get(call.status // 100, WORDS[NO_ANSWER])
        said = f"{call.kind} {call.status or 'no answer'} {call.code} after {call.took_s * 1000:.0f} ms"
        return (
            f'<rect x="{self._x(call.at_s)}" y="{y + 2}" width="{width:.1f}" height="{ROW - 5}" fill="{colour}" '
            f'opacity="0.75"><title>{escape(said)}</title></rect>'
        )

    def _moments(self) -> Iterator[str]:
        dashes = {"fault": "", "mended": "4 2", "settled": "1 3", "broken": "8 2"}
        for number, moment in enumerate(self._record.moments):
            x = self._x(moment.at_s)
            yield (
                f'<g><title>{escape(f"{moment.at_s:.1f} s: {moment.text}")}</title><line x1="{x}" y1="18" x2="{x}" '
                f'y2="{self._bottom}" stroke="currentColor" stroke-dasharray="{dashes[moment.kind]}" opacity="0.6"/>'
                f'<text x="{x + 2}" y="{14 if number % 2 else 26}" fill="currentColor">{number + 1}</text></g>'
            )
