"""The feed itself: what it says before, during and after word from its source."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flag_service.domain.picture import draw
from flag_service.http.models import HeartbeatOut, LevelOut, ScopeOut, SnapshotOut
from resilience_client import LevelFeed, UnknownFeatureError
from resilience_client.sse import apply
from resilience_contracts import FeatureState, Level, View
from tests.contracts.states import NOW, POLICY, hold_set, level_state

ASSISTANT = "integrations.ai_assistant"


class Nothing:
    async def run(self, feed: LevelFeed) -> None:
        while True:
            await feed.changed()


class Times:
    """Both clocks of a feed, moved by hand."""

    def __init__(self) -> None:
        self.passed_s = 0.0

    def now(self) -> datetime:
        return NOW + timedelta(seconds=self.passed_s)

    def monotonic(self) -> float:
        return self.passed_s


def feed_at(times: Times) -> LevelFeed:
    return LevelFeed(Nothing(), now=times.now, monotonic=times.monotonic)


def frame(view: View, kind: str = "state") -> tuple[str, dict[str, Any]]:
    shown = draw(view, "default", NOW)
    if kind == "snapshot":
        return kind, SnapshotOut.of([shown]).model_dump(mode="json")
    return kind, ScopeOut.of(shown).model_dump(mode="json")


def test_nothing_heard_gives_the_unknown_mode_and_no_level() -> None:
    feed = feed_at(Times())

    assert feed.level is None
    assert feed.stale
    assert feed.is_enabled("inventory.reservations")
    assert feed.state("integrations.webhooks") is FeatureState.FALLBACK
    assert not feed.is_enabled("analytics.reports")
    assert 1 <= feed.retry_after_s() <= 300
    with pytest.raises(UnknownFeatureError, match=r"'analytics\.report'"):
        feed.is_enabled("analytics.report")


@pytest.mark.parametrize("kind", ["snapshot", "state"])
def test_the_stream_says_what_the_service_knows(kind: str) -> None:
    view = View(POLICY)
    view.apply_level(level_state(Level.LIMITED, (3, 7)))
    view.apply_hold(hold_set(FeatureState.FALLBACK, allow_better=True))
    feed = feed_at(Times())

    apply(*frame(view, kind), feed)
    feed.heard()

    assert feed.level is Level.LIMITED
    assert not feed.stale
    theirs = {one.key: one for one in view.features("default", NOW)}
    ours = {key: feed.feature(key) for key in POLICY.features}
    assert {key: one.state for key, one in ours.items()} == {key: one.state for key, one in theirs.items()}
    assert ours["analytics.reports"] == theirs["analytics.reports"]
    assert ours[ASSISTANT].automatic is FeatureState.DISABLED
    assert ours[ASSISTANT].hold == theirs[ASSISTANT].hold


def test_a_hold_ends_at_its_time_even_while_cut_off_and_by_word_before() -> None:
    times, view = Times(), View(POLICY)
    view.apply_level(level_state(Level.OPTIMAL))
    free = frame(view)
    view.apply_hold(hold_set(FeatureState.DISABLED, minutes=1))
    held = frame(view)
    feed = feed_at(times)

    apply(*held, feed)
    assert not feed.is_enabled(ASSISTANT)
    apply(*free, feed)
    assert feed.is_enabled(ASSISTANT)
    apply(*held, feed)
    times.passed_s = 61
    assert feed.is_enabled(ASSISTANT)


def test_silence_makes_it_stale_and_changes_nothing_else() -> None:
    times, view = Times(), View(POLICY)
    view.apply_level(level_state(Level.LIMITED))
    feed = feed_at(times)
    apply(*frame(view), feed)
    feed.heard()

    feed.lost()
    times.passed_s = 4
    assert not feed.stale
    times.passed_s = 6
    assert feed.stale
    assert feed.level is Level.LIMITED
    feed.heard()
    assert not feed.stale
    times.passed_s = 91
    assert feed.stale, "the engine is silent though the stream is not"


def test_a_heartbeat_freshens_the_level_it_is_of_and_no_other() -> None:
    times, view = Times(), View(POLICY)
    view.apply_level(level_state(Level.LIMITED, (1, 2)))
    feed = feed_at(times)
    apply(*frame(view), feed)
    feed.heard()
    later, newer = View(POLICY), View(POLICY)
    later.apply_level(level_state(Level.LIMITED, (1, 2), at=NOW + timedelta(seconds=60)))
    newer.apply_level(level_state(Level.OPTIMAL, (1, 3), at=NOW + timedelta(seconds=60)))

    for one in (newer, later):
        level = one.level("default", NOW)
        assert level
        apply("heartbeat", HeartbeatOut(level=LevelOut.of(level)).model_dump(mode="json"), feed)
    times.passed_s = 91

    assert feed.level is Level.LIMITED
    assert not feed.stale
    assert feed.state(ASSISTANT) is FeatureState.DISABLED


def test_other_scopes_and_other_kinds_are_passed_over() -> None:
    view = View(POLICY)
    view.apply_level(level_state(Level.LIMITED, scope="other"))
    feed = feed_at(Times())

    apply("state", ScopeOut.of(draw(view, "other", NOW)).model_dump(mode="json"), feed)
    apply("new-kind", {"x": 1}, feed)

    assert feed.level is None


VERSIONS = st.tuples(st.integers(1, 3), st.integers(1, 5))


@settings(max_examples=40)
@given(st.lists(st.tuples(VERSIONS, st.sampled_from(["snapshot", "state"]), st.booleans()), max_size=8))
def test_whichever_replica_answers_nothing_older_follows_something_newer(
    told: list[tuple[tuple[int, int], str, bool]],
) -> None:
    """Bug row 5 (posthog-python 808): what comes late does not overwrite what came before it."""
    feed = feed_at(Times())
    newest, holds = (0, 0), False

    for version, kind, held in told:
        view = View(POLICY)
        view.apply_level(level_state(Level(version[1] % 5), version))
        if held:
            view.apply_hold(hold_set(FeatureState.DISABLED))
        apply(*frame(view, kind), feed)

        seen = feed.level_view
        assert seen
        assert seen.version == max(newest, version)
        assert seen.level == Level(seen.version.counter % 5)
        holds = held if version >= newest else holds
        assert (feed.feature(ASSISTANT).hold is not None) == holds
        newest = max(newest, version)


async def test_leaving_it_ends_the_source_and_keeps_what_is_known() -> None:
    feed = LevelFeed(Nothing())
    async with feed:
        feed.view.apply_level(level_state(Level.LIMITED, at=datetime.now(UTC)))
        feed.heard()
        assert not feed.stale

    assert feed.level is Level.LIMITED
    assert feed._task is not None
    assert feed._task.done()
