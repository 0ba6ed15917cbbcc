"""What a load gave, as a table, as figures, and as a picture for each phase."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tests.bench.inventory_client import Answer
from tests.bench.load_phase import Seen
from tests.bench.load_picture import picture

FULL = 0.95
"""From so much of all cores on, what a phase took is a matter of the machine."""
HEAD = (
    "| phase | offered/s | answered/s | p50 ms | p95 ms | p99 ms |"
    " served | stale | later | refused | wrong | none | machine busy | API's cores | load average before | bounds |"
)


@dataclass(frozen=True)
class Floors:
    """Latencies of a bare endpoint under the same steady load, and what is done at most without any service."""

    p50_ms: float
    p95_ms: float
    p99_ms: float
    looks_per_s: float
    holds_per_s: float

    def told(self) -> str:
        """Say it in a line."""
        return (
            f"floors: a bare endpoint under the steady load p50 {self.p50_ms:.1f}, p95 {self.p95_ms:.1f},"
            f" p99 {self.p99_ms:.1f} ms, {self.looks_per_s:.0f}/s at most; bare asyncpg {self.holds_per_s:.0f} holds/s"
        )


@dataclass(frozen=True)
class Row:
    """A phase's figures; latencies in ms by kind, bounds as told and whether each holds."""

    name: str
    offered_per_s: float
    answered_per_s: float
    quantiles_ms: tuple[float, float, float]
    given: dict[Answer, int]
    by_kind: dict[str, dict[str, float]]
    busy: float
    api_cores: float
    load_average: float
    bounds: list[tuple[str, bool]]
    grown_mb: dict[str, float]
    picture: str

    @classmethod
    def of(cls, seen: Seen, bounds: list[tuple[str, bool]]) -> Row:
        """Count what was seen."""
        total, phase = seen.total, seen.phase
        answered = sum(answer is not Answer.NONE for answer in total.answers)
        return cls(
            name=phase.name,
            offered_per_s=len(total.answers) / phase.seconds,
            answered_per_s=answered / phase.seconds,
            quantiles_ms=(total.ms(0.5), total.ms(0.95), total.ms(0.99)),
            given=dict(seen.given),
            by_kind={
                name: {
                    "p50_ms": one.ms(0.5),
                    "p95_ms": one.ms(0.95),
                    "p99_ms": one.ms(0.99),
                    "answers": len(one.answers),
                }
                | {f"status {status}": number for status, number in sorted(one.statuses.items())}
                for name, one in seen.outcomes.items()
            },
            busy=seen.busy,
            api_cores=seen.api_cores,
            load_average=seen.load_average,
            bounds=bounds,
            grown_mb=seen.grown_mb(),
            picture=picture(seen),
        )

    @property
    def holds(self) -> bool:
        """Whether every bound does."""
        return all(holds for _, holds in self.bounds)

    def told(self) -> str:
        """Write its row of the table."""
        counts = " | ".join(str(self.given.get(answer, 0)) for answer in Answer)
        bounds = "; ".join(text if holds else f"**{text}**" for text, holds in self.bounds)
        busy = f"{self.busy:.0%}" + (", bound by it" if self.busy >= FULL else "")
        p50, p95, p99 = self.quantiles_ms
        return (
            f"| {self.name} | {self.offered_per_s:.0f} | {self.answered_per_s:.0f} | {p50:.1f} | {p95:.1f} | {p99:.1f}"
            f" | {counts} | {busy} | {self.api_cores:.2f} | {self.load_average:.1f} | {bounds} |"
        )

    def figures(self) -> dict[str, Any]:
        """Return it for programs, without its picture."""
        return {name: value for name, value in asdict(self).items() if name != "picture"}


def write(folder: Path, below: Floors, rows: Sequence[Row]) -> None:
    """Write `load.md`, `load.json` and a picture for each phase."""
    folder.mkdir(parents=True, exist_ok=True)
    for row in rows:
        (folder / f"load-{row.name}.svg").write_text(row.picture, encoding="utf-8")
    table = [HEAD, "|---" * HEAD.count(" | ") + "|---|", *(row.told() for row in rows)]
    kinds = [f"\n{row.name}:\n\n{_by_kind(row)}\n\n![{row.name}](load-{row.name}.svg)" for row in rows]
    told = ["# Load", "", below.told().capitalize() + ".", "", *table, *kinds, ""]
    (folder / "load.md").write_text("\n".join(told), encoding="utf-8")
    figures = {"floors": asdict(below), "phases": [row.figures() for row in rows]}
    (folder / "load.json").write_text(json.dumps(figures, indent=1), encoding="utf-8")


def _by_kind(row: Row) -> str:
    lines = ["| kind | answers | p50 ms | p95 ms | p99 ms | statuses |", "|---|---|---|---|---|---|"]
    for name, one in row.by_kind.items():
        statuses = ", ".join(
            f"{number:.0f} x {key.removeprefix('status ')}"
            for key, number in one.items()
            if key.startswith("status")
        )
        quantiles = " | ".join(f"{one[share]:.1f}" for share in ("p50_ms", "p95_ms", "p99_ms"))
        lines.append(f"| {name} | {one['answers']:.0f} | {quantiles} | {statuses} |")
    return "\n".join(lines)
