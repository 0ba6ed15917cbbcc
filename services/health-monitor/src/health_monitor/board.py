"""The last observations by dependency, for people: `GET /v1/probes`."""

from __future__ import annotations

from enum import StrEnum

from fastapi import APIRouter, Response
from pydantic import BaseModel

from resilience_contracts import Observation
from resilience_runtime import Readiness

from .domain import Window


class Probing(StrEnum):
    """Whether a dependency of the policy is probed."""

    PROBED = "probed"
    DISABLED = "disabled"
    NOT_CONFIGURED = "not_configured"


class ProbeView(BaseModel):
    """One dependency. `last` is null before the first probe has ended, and where nothing is probed."""

    dependency: str
    probing: Probing
    interval_s: float
    deadline_s: float
    consecutive_misses: float = 0
    last: Observation | None = None
    detail: str = ""
    retry_after_s: float | None = None
    recent: tuple[Observation, ...] = ()


class BoardView(BaseModel):
    """Everything that this monitor watches."""

    scope: str
    observer: str
    boot: str
    probes: list[ProbeView]


class Board:
    """Remembers the newest window of each dependency.

    Args:
        empty: the view with nothing observed yet, every dependency of the policy in it.
    """

    def __init__(self, empty: BoardView) -> None:
        self._empty = empty
        self._windows: dict[str, Window] = {}

    def observed(self, dependency: str, window: Window) -> None:
        """Take the window."""
        self._windows[dependency] = window

    def view(self) -> BoardView:
        """Show what was observed."""
        probes = [self._filled(probe) for probe in self._empty.probes]
        return self._empty.model_copy(update={"probes": probes})

    def readiness(self) -> Readiness:
        """Ready once every probed dependency has been observed."""
        checks = {
            probe.dependency: probe.dependency in self._windows
            for probe in self._empty.probes
            if probe.probing is Probing.PROBED
        }
        return Readiness(all(checks.values()), checks)

    def routes(self) -> APIRouter:
        """Return the routes that show this board."""
        router = APIRouter(prefix="/v1", tags=["probes"])

        @router.get("/probes")
        async def probes(response: Response) -> BoardView:
            """The last observations of each dependency of the policy, oldest first."""
            response.headers["Cache-Control"] = "no-store"
            return self.view()

        return router

    def _filled(self, probe: ProbeView) -> ProbeView:
        window = self._windows.get(probe.dependency)
        if window is None or window.last is None:
            return probe
        return probe.model_copy(
            update={
                "consecutive_misses": window.consecutive_misses,
                "last": window.recent[-1],
                "detail": window.last.detail,
                "retry_after_s": window.last.retry_after_s,
                "recent": window.recent,
            }
        )
