"""The console: the state of a scope on one page. Works without JavaScript; with it, the page follows the stream."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from importlib import resources
from itertools import groupby
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, FastAPI, Query, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from flag_service.domain.history import HISTORY_CAPACITY, History
from flag_service.domain.inventory import Inventory
from flag_service.domain.picture import Picture
from flag_service.domain.vitals import POINTS, Reading, Vitals
from resilience_contracts import (
    BreakerState,
    DecidedBy,
    DependencyState,
    FeatureState,
    FeatureView,
    Level,
    LevelView,
    format_time,
)
from resilience_runtime.clock import Clock
from resilience_runtime.problem import Problem

from .changes import Changes
from .console_charts import Spark, spark, timeline
from .console_guard import SECURITY_HEADERS
from .console_hold import HoldPages
from .documents import Document

CHANGES_SHOWN = 12
AUDIT_SHOWN = 10
PERIODS = {"1h": timedelta(hours=1), "24h": timedelta(hours=24), "7d": timedelta(days=7)}
DECIDED_BY = {
    DecidedBy.SCORE: "the overall score",
    DecidedBy.FLOOR: "a guard rail: at least this bad",
    DecidedBy.CEILING: "a guard rail: at most this bad",
    DecidedBy.HOLD: "an operator's hold",
    DecidedBy.MONITOR_LOST: "the loss of monitoring",
}
NOTICES = {"set": "The hold is set.", "ended": "The hold has ended."}

Name = Annotated[str | None, Query(max_length=100)]


@dataclass(frozen=True, slots=True)
class Tile:
    """A dependency as it is shown."""

    name: str
    weight: int
    seen: DependencyState | None
    reading: Reading
    spark: Spark | None
    breakers: list[tuple[BreakerState, int]]


MEDIA_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
STYLE_EARLY = {"Link": "</static/console.css>; rel=preload; as=style"}
"""Nothing is painted without the style: a browser asks for it before it has read the page."""


@cache
def console_environment() -> Environment:
    """Return the templates, every value of which is escaped.

    They are compiled here, once: it takes longer than many views, and the first reader would wait for it.
    """
    environment = Environment(
        loader=PackageLoader("flag_service", "console/templates"),
        autoescape=select_autoescape(default=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "rfc3339": format_time,
        "shown": lambda time: f"{time.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC",
        "span": _span,
        "words": lambda name: str(name).replace("_", " "),
        "after_dot": lambda key: key.partition(".")[2] or key,
    }
    for name in environment.list_templates():
        environment.get_template(name)
    return environment


@cache
def static_documents() -> dict[str, Document]:
    """Return style, scripts and icon by name. From memory: a file takes several turns in threads to be read."""
    directory = resources.files("flag_service") / "console" / "static"
    return {
        file.name: Document.of(file.read_bytes(), MEDIA_TYPES[Path(file.name).suffix])
        for file in directory.iterdir()
    }


@dataclass(frozen=True, slots=True)
class Console:
    """The pages over one switchboard."""

    history: History
    changes: Changes
    vitals: Vitals
    inventory: Callable[[], Inventory | None]
    clock: Clock
    environment: Environment = field(default_factory=console_environment)

    def open(self, app: FastAPI) -> None:
        """Serve the pages, and their style, scripts and icon."""
        router = APIRouter(include_in_schema=False)
        router.get("/")(self._state)
        router.get("/static/{name}")(self._static)
        app.include_router(router)
        app.include_router(HoldPages(self.changes, self.clock, self._page).router())

    async def _static(self, request: Request, name: str) -> Response:
        document = static_documents().get(name)
        if document is None:
            raise Problem(404, "not_found", f"The console has no file {name}.")
        return document.answer(request)

    async def _state(self, scope: Name = None, done: Name = None, period: Name = None) -> Response:
        now = self.clock.now()
        board = self.changes.switchboard
        name = scope or board.home_scope
        picture = board.picture(name, now)
        if not board.knows(name):
            return RedirectResponse("/", 303)
        level = picture.level
        chosen = period if period in PERIODS else "24h"
        changes = self.history.newest((level and level.follows) or name, HISTORY_CAPACITY)
        return self._page(
            "state.html",
            picture=picture,
            level=level,
            decided_by=DECIDED_BY[level.state.decided_by] if level else None,
            now=now,
            stale=level is None or level.stale,
            fresh_for_s=_fresh_for_s(level, now),
            scopes=[known.scope for known in board.pictures(now)],
            tiles=self._tiles(picture),
            groups=_groups(picture),
            counts=_counts(picture),
            changes=changes[:CHANGES_SHOWN],
            levels=list(Level.__members__),
            periods=list(PERIODS),
            period=chosen,
            stretches=timeline(changes, level, now, PERIODS[chosen]),
            audit=self.changes.trail.newest(name)[:AUDIT_SHOWN],
            inventory=self.inventory(),
            notice=NOTICES.get(done or ""),
        )

    def _tiles(self, picture: Picture) -> list[Tile]:
        seen = picture.level.state.dependencies if picture.level else {}
        weights = {name: rule.weight for name, rule in self.changes.switchboard.policy.dependencies.items()}
        return [self._tile(picture.scope, name, weight, seen.get(name)) for name, weight in weights.items()]

    def _tile(self, scope: str, name: str, weight: int, seen: DependencyState | None) -> Tile:
        reading = self.vitals.of(scope, name)
        states = list((seen.breakers if seen else reading.breakers).values())
        breakers = [(state, states.count(state)) for state in BreakerState if state in states]
        return Tile(name, weight, seen, reading, spark(reading.probes, POINTS), breakers)

    def _page(self, template: str, status: int = 200, **values: Any) -> HTMLResponse:
        html = self.environment.get_template(template).render(values)
        return HTMLResponse(html, status, headers=SECURITY_HEADERS | STYLE_EARLY)


def _fresh_for_s(level: LevelView | None, now: datetime) -> float:
    if level is None:
        return -1.0
    left_s = (level.state.next_heartbeat_by - now).total_seconds()
    return min(left_s, -1.0) if level.stale else round(left_s, 1)


def _groups(picture: Picture) -> list[tuple[str, list[FeatureView]]]:
    def group(feature: FeatureView) -> str:
        return feature.key.partition(".")[0]

    return [(name, list(features)) for name, features in groupby(picture.features, key=group)]


def _counts(picture: Picture) -> list[tuple[FeatureState, int]]:
    states = [feature.state for feature in picture.features]
    return [(state, states.count(state)) for state in FeatureState]


def _span(seconds: float) -> str:
    for size_s, unit in ((3_600, "h"), (60, "min")):
        if seconds >= size_s:
            return f"{seconds / size_s:.0f} {unit}"
    return f"{seconds:.0f} s"
