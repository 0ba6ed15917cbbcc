"""A picture of one phase over time, as SVG: answers of each second by what they were, their latency, and memory."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

from tests.bench.inventory_client import Answer
from tests.bench.load_phase import Seen

WIDTH, LEFT, RIGHT, HEIGHT, GAP, TOP = 960, 70, 12, 130, 34, 40
COLUMNS, TICKS = 300, 10
COLOURS = {
    Answer.SERVED: "#2da44e",
    Answer.STALE: "#d4a72c",
    Answer.LATER: "#1f6feb",
    Answer.REFUSED: "#8c959f",
    Answer.WRONG: "#cf222e",
    Answer.NONE: "#6e1a1a",
}
QUANTILES = {0.5: "#2da44e", 0.95: "#d97706", 0.99: "#cf222e"}
MEMORY = ("inventory-api", "flag-service", "degradation-engine", "health-monitor")
SHADES = ("#1f6feb", "#d97706", "#8250df", "#2da44e")


def picture(seen: Seen) -> str:
    """Draw it."""
    return "".join(_Picture(seen).draw())


class _Picture:
    def __init__(self, seen: Seen) -> None:
        self._seen = seen
        self._step_s = max(1, math.ceil(seen.phase.seconds / COLUMNS))
        self._answers: defaultdict[int, Counter[Answer]] = defaultdict(Counter)
        self._took_ms: defaultdict[int, list[float]] = defaultdict(list)
        total = seen.total
        self._zero_s = min(total.due_s)
        for due_s, took_s, answer in zip(total.due_s, total.took_s, total.answers, strict=True):
            column = int((due_s - self._zero_s) / self._step_s)
            self._answers[column][answer] += 1
            self._took_ms[column].append(took_s * 1000)

    def draw(self) -> Iterator[str]:
        height = TOP + 3 * (HEIGHT + GAP)
        name = self._seen.phase.name
        yield (
            f'<svg viewBox="0 0 {WIDTH} {height}" role="img" xmlns="http://www.w3.org/2000/svg" '
            f'font-family="system-ui, sans-serif" font-size="11"><title>{name} over time</title>'
            f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>'
        )
        yield from self._legend(TOP - 18, [(str(answer), COLOURS[answer]) for answer in Answer])
        yield from self._fault(height)
        yield from self._counts(TOP)
        yield from self._latencies(TOP + HEIGHT + GAP)
        yield from self._memory(TOP + 2 * (HEIGHT + GAP))
        yield "</svg>"

    def _x(self, at_s: float) -> float:
        return round(LEFT + (WIDTH - LEFT - RIGHT) * min(1.0, at_s / self._seen.phase.seconds), 1)

    def _fault(self, height: int) -> Iterator[str]:
        seen = self._seen
        if seen.broken_s is None or seen.mended_s is None:
            return
        begin, end = (self._x(at_s - self._zero_s) for at_s in (seen.broken_s, seen.mended_s))
        yield (
            f'<rect x="{begin}" y="{TOP}" width="{end - begin:.1f}" height="{height - TOP - GAP}" fill="#cf222e" '
            f'opacity="0.10"><title>{seen.phase.fault}</title></rect>'
        )

    def _axis(self, top: int, most: float, unit: str, *, logarithmic: bool = False) -> Iterator[str]:
        bottom = top + HEIGHT
        yield f'<line x1="{LEFT}" y1="{bottom}" x2="{WIDTH - RIGHT}" y2="{bottom}" stroke="#57606a"/>'
        marks = [10.0**power for power in range(5)] if logarithmic else [most * part / 4 for part in range(5)]
        for mark in marks:
            y = round(bottom - HEIGHT * (self._log(mark) if logarithmic else mark / most), 1)
            yield f'<line x1="{LEFT}" y1="{y}" x2="{WIDTH - RIGHT}" y2="{y}" stroke="#8c959f" opacity="0.25"/>'
            yield f'<text x="{LEFT - 6}" y="{y + 4}" text-anchor="end" fill="#57606a">{mark:g} {unit}</text>'
        step_s = max(1, round(self._seen.phase.seconds / TICKS))
        for at_s in range(0, int(self._seen.phase.seconds) + 1, step_s):
            yield f'<text x="{self._x(at_s)}" y="{bottom + 14}" text-anchor="middle" fill="#57606a">{at_s} s</text>'

    def _legend(self, y: int, names: Sequence[tuple[str, str]]) -> Iterator[str]:
        x = LEFT
        for name, colour in names:
            yield f'<rect x="{x}" y="{y - 8}" width="10" height="10" fill="{colour}"/>'
            yield f'<text x="{x + 14}" y="{y + 1}" fill="#24292f">{name}</text>'
            x += 30 + 7 * len(name)

    def _counts(self, top: int) -> Iterator[str]:
        most = max(counted.total() for counted in self._answers.values()) / self._step_s
        yield from self._axis(top, _round_up(most), "/s")
        scale = HEIGHT / (_round_up(most) * self._step_s)
        for column, counted in self._answers.items():
            x, y = self._x(column * self._step_s), float(top + HEIGHT)
            width = max(1.0, self._x((column + 1) * self._step_s) - x)
            for answer in Answer:
                if counted[answer]:
                    y -= counted[answer] * scale
                    yield (
                        f'<rect x="{x}" y="{y:.1f}" width="{width:.1f}" height="{counted[answer] * scale:.1f}" '
                        f'fill="{COLOURS[answer]}"/>'
                    )

    def _log(self, value: float) -> float:
        return math.log10(min(10_000.0, max(1.0, value))) / 4

    def _latencies(self, top: int) -> Iterator[str]:
        yield from self._axis(top, 10_000, "ms", logarithmic=True)
        yield from self._legend(
            top - 6, [(f"p{share * 100:g}", colour) for share, colour in QUANTILES.items()]
        )
        for share, colour in QUANTILES.items():
            points = []
            for column, took_ms in sorted(self._took_ms.items()):
                value = sorted(took_ms)[min(len(took_ms) - 1, int(len(took_ms) * share))]
                points.append(((column + 0.5) * self._step_s, top + HEIGHT * (1 - self._log(value))))
            yield self._line(points, colour)

    def _memory(self, top: int) -> Iterator[str]:
        looked = self._seen.memory
        most = _round_up(max((parts.get(name, 0) for _, parts in looked for name in MEMORY), default=1.0))
        yield from self._axis(top, most, "MB")
        yield from self._legend(top - 6, list(zip(MEMORY, SHADES, strict=True)))
        for name, colour in zip(MEMORY, SHADES, strict=True):
            points = [
                (at_s - self._zero_s, top + HEIGHT * (1 - parts[name] / most))
                for at_s, parts in looked
                if name in parts
            ]
            yield self._line(points, colour)

    def _line(self, points: Sequence[tuple[float, float]], colour: str) -> str:
        path = " ".join(f"{self._x(at_s)},{y:.1f}" for at_s, y in points)
        return f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.5"/>'


def _round_up(value: float) -> float:
    step = 10.0 ** math.floor(math.log10(max(1.0, value)))
    return max(1.0, math.ceil(value / step) * step)
