from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from random import Random

import pytest

from flag_service.domain.ring import FrameKind
from flag_service.domain.switchboard import Switchboard
from flag_service.http.hub import Hub
from flag_service.http.teller import Teller
from resilience_contracts import Level
from resilience_runtime import ManualClock
from tests.contracts.states import POLICY, level_state

SECONDS = 60


@pytest.mark.parametrize(
    ("level", "figures"),
    [(Level.OPTIMAL, SECONDS), (Level.LIMITED, SECONDS // 5), (Level.MINIMAL, SECONDS // 30)],
)
async def test_figures_go_as_often_as_live_updates_lets_them_and_the_newest_at_that(
    level: Level, figures: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One a second comes in; ENABLED sends each, FALLBACK one every 5 s, DISABLED one every 30 s."""
    clock, told = ManualClock(datetime.now(UTC)), list[str]()
    hub = Hub("boot", 1, Random(1))

    def mention(_kind: FrameKind, _scope: str, data: str) -> None:
        told.append(json.loads(data)["level"]["observed_at"])

    monkeypatch.setattr(hub, "mention", mention)
    teller = Teller(hub, clock)
    board = Switchboard(POLICY, "default", teller.effect, teller.heartbeat)
    board.start(clock.now(), None)
    board.finish_reading(clock.now())
    state = level_state(level, at=clock.now())
    board.apply_level(state, clock.now())
    running = asyncio.create_task(teller.run())
    for second in range(1, SECONDS + 1):
        later = {
            "observed_at": state.observed_at + timedelta(seconds=second),
            "next_heartbeat_by": state.next_heartbeat_by + timedelta(seconds=second),
        }
        board.apply_level(state.model_copy(update=later), clock.now())
        await clock.advance(1.0)
    running.cancel()

    assert abs(len(told) - figures) <= 1
    assert told == sorted(set(told))
