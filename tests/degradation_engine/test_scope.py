"""Dwell, steps, silence and holds, on a simulated shop."""

from __future__ import annotations

from itertools import pairwise

import pytest

from resilience_contracts import DecidedBy, Health, Level, LevelState, default_policy_text, parse_policy
from tests.degradation_engine.shop import Shop, at, level_hold


def test_losing_the_database_demotes_at_once() -> None:
    shop = Shop().run(60)
    shop.down.add("postgresql")

    shop.run(8)

    assert shop.level is Level.MINIMAL
    assert (shop.changes[-1].from_level, shop.changes[-1].to_level) == ("OPTIMAL", "MINIMAL")
    assert shop.changes[-1].decided_by is DecidedBy.FLOOR
    assert "postgresql is DOWN since" in shop.state.cause


def test_other_losses_demote_after_the_dwell_in_one_jump() -> None:
    shop = Shop().run(60)
    shop.down.add("openai")

    shop.run(30)

    (change,) = shop.changes
    assert (change.from_level, change.to_level) == ("OPTIMAL", "LIMITED")
    announced = [state for state in shop.states if state.pending and state.pending.level == "LIMITED"]
    assert announced[0].observed_at < change.changed_at
    assert change.changed_at == announced[0].pending.earliest_at  # type: ignore[union-attr]  # just filtered


def test_a_trouble_shorter_than_the_dwell_changes_no_level() -> None:
    shop = Shop().run(60)
    shop.down.add("redis")
    shop.run(7)
    assert shop.state.dependencies["redis"].health is not Health.UP
    shop.down.clear()

    shop.run(120)

    assert shop.changes == []


def test_promotion_takes_one_level_at_a_time_with_a_full_dwell_each() -> None:
    shop = Shop().run(60)
    shop.down.update({"postgresql", "redis"})
    shop.run(60)
    assert shop.level is Level.EMERGENCY
    shop.down.clear()

    shop.run(900)

    promotions = [change for change in shop.changes if change.to_rank < change.from_rank]
    assert [change.to_level for change in promotions] == ["MINIMAL", "LIMITED", "DEGRADED", "OPTIMAL"]
    for earlier, later in pairwise(promotions):
        assert (later.changed_at - earlier.changed_at).total_seconds() >= 120


def test_a_relapse_during_the_dwell_starts_it_anew() -> None:
    shop = Shop().run(60)
    shop.down.add("postgresql")
    shop.run(30)
    shop.down.clear()
    shop.run(100)
    shop.down.add("postgresql")
    shop.run(10)
    shop.down.clear()
    relapse_s = shop.now_s

    shop.run(600)

    promotion = next(change for change in shop.changes if change.to_rank < change.from_rank)
    assert promotion.changed_at >= at(relapse_s + 120)


def test_the_silence_of_every_monitor_keeps_the_level_and_says_so() -> None:
    shop = Shop().run(60)
    shop.down.add("postgresql")
    shop.run(30)
    shop.silent.update(shop.policy.dependencies)

    shop.run(3600)

    assert shop.level is Level.MINIMAL
    assert shop.state.stale
    assert all(seen.stale for seen in shop.state.dependencies.values())
    assert "no monitor has reported since" in shop.state.cause
    assert len(shop.changes) == 1


def test_silence_alone_never_demotes_however_the_probes_are_staggered() -> None:
    shop = Shop().run(61.7)
    shop.silent.update(shop.policy.dependencies)

    shop.run(3600)

    assert shop.changes == []
    assert shop.state.stale


def test_when_the_monitor_returns_nothing_flickers() -> None:
    shop = Shop().run(60)
    shop.silent.update(shop.policy.dependencies)
    shop.run(300)
    before = len(shop.states)
    shop.silent.clear()

    shop.run(60)

    healths = {seen.health for state in shop.states[before:] for seen in state.dependencies.values()}
    assert healths == {Health.UP}
    assert not shop.state.stale
    assert shop.changes == []


def test_one_silent_dependency_is_capped_and_then_unknown_and_never_left_out() -> None:
    shop = Shop().run(60)
    shop.silent.add("openai")

    shop.run(40)
    assert shop.state.dependencies["openai"].score == 70.0
    assert shop.state.score == 85.0
    shop.run(60)

    assert shop.state.dependencies["openai"].health is Health.UNKNOWN
    assert shop.state.score == 75.0
    assert shop.level is Level.DEGRADED
    assert not shop.state.stale


def test_a_dependency_that_is_down_and_then_silent_stays_down() -> None:
    shop = Shop().run(60)
    shop.down.add("postgresql")
    shop.run(30)
    shop.silent.add("postgresql")

    shop.run(1800)

    assert shop.state.dependencies["postgresql"].health is Health.DOWN
    assert shop.level is Level.MINIMAL


def test_a_dependency_that_nobody_ever_reports_becomes_unknown_after_its_grace() -> None:
    shop = Shop()
    shop.silent.add("s3")

    shop.run(60)

    assert shop.state.dependencies["s3"].health is Health.UNKNOWN
    assert shop.state.dependencies["s3"].score == 50.0
    assert shop.level is Level.OPTIMAL


def test_a_policy_may_call_for_a_level_once_the_monitors_are_lost() -> None:
    text = default_policy_text().replace("on_monitor_lost: keep", "on_monitor_lost: LIMITED")
    shop = Shop(policy=parse_policy(text)).run(60)
    shop.silent.update(shop.policy.dependencies)

    shop.run(590)
    assert shop.state.level == "OPTIMAL"
    shop.run(30)

    assert shop.level is Level.LIMITED
    assert shop.state.decided_by is DecidedBy.MONITOR_LOST
    assert "the policy then calls for LIMITED" in shop.state.cause


def test_a_hold_worsens_at_once_and_ends_once() -> None:
    shop = Shop().run(60)
    shop.hold(level_hold(Level.LIMITED, 60, lasts_s=100))
    assert shop.level is Level.LIMITED
    assert shop.state.automatic_level == "OPTIMAL"
    assert shop.state.decided_by is DecidedBy.HOLD
    assert shop.state.hold is not None

    shop.run(600)

    assert [change.to_level for change in shop.changes] == ["LIMITED", "OPTIMAL"]
    assert shop.changes[-1].changed_at == at(160)
    assert shop.state.hold is None


def test_a_hold_to_a_better_level_needs_to_be_allowed() -> None:
    shop = Shop().run(60)
    shop.down.add("postgresql")
    shop.run(30)

    shop.hold(level_hold(Level.DEGRADED, 90))
    assert shop.state.level == "MINIMAL"
    assert shop.state.decided_by is DecidedBy.FLOOR
    shop.hold(level_hold(Level.DEGRADED, 91, allow_better=True, version=2))

    assert shop.level is Level.DEGRADED
    assert shop.state.automatic_level == "MINIMAL"


def test_ending_a_hold_gives_the_level_back_to_automation() -> None:
    shop = Shop().run(60)
    shop.hold(level_hold(Level.EMERGENCY, 60))

    shop.events += shop.engine.end_hold("default", at(70))
    again = shop.engine.end_hold("default", at(71))

    assert shop.level is Level.OPTIMAL
    assert again == []


def test_a_hold_heard_after_its_expiry_does_nothing() -> None:
    shop = Shop().run(300)

    shop.hold(level_hold(Level.EMERGENCY, 60, lasts_s=100))

    assert shop.changes == []


def test_flapping_slows_promotion_and_never_demotion() -> None:
    shop = Shop().run(60)
    for _ in range(4):
        shop.down.add("postgresql")
        shop.run(30)
        shop.down.clear()
        shop.run(160)
    demotions = [change for change in shop.changes if change.to_rank > change.from_rank]
    last = [change for change in shop.changes if change.to_rank < change.from_rank][-1]

    assert len(demotions) == 3
    assert last.changed_at < demotions[-1].changed_at


def test_heartbeats_repeat_the_version_every_thirty_seconds() -> None:
    shop = Shop().run(60)
    before = len(shop.states)

    shop.run(300)

    beats = shop.states[before:]
    assert {state.version for state in beats} == {beats[0].version}
    gaps = [(later.observed_at - earlier.observed_at).total_seconds() for earlier, later in pairwise(beats)]
    assert gaps
    assert all(30 <= gap <= 31 for gap in gaps)
    assert all((state.next_heartbeat_by - state.observed_at).total_seconds() == 90 for state in beats)


def test_since_tells_when_each_thing_became_what_it_is() -> None:
    shop = Shop().run(60)
    shop.down.add("postgresql")
    shop.run(60)

    state: LevelState = shop.state
    change = shop.changes[-1]
    assert state.since == change.changed_at
    assert state.dependencies["postgresql"].since == change.changed_at
    assert state.features["inventory.reservations"].since == change.changed_at
    assert state.features["performance.caching"].since == at(0)
    assert state.dependencies["redis"].since < at(1)


@pytest.mark.parametrize("name", ["openai", "postgresql", "redis", "s3"])
def test_a_prediction_comes_with_an_outage_and_goes_with_it(name: str) -> None:
    shop = Shop().run(60)
    shop.down.add(name)
    shop.run(60)
    assert shop.state.recovery is not None
    assert shop.state.recovery.q10_s > 120
    assert "usually back within" in shop.state.cause
    shop.down.clear()

    shop.run(1000)

    assert shop.state.recovery is None


def test_versions_count_up_by_one_with_each_change() -> None:
    shop = Shop().run(60)
    shop.down.add("redis")
    shop.run(120)
    shop.down.clear()
    shop.run(600)

    counters = list(dict.fromkeys(state.version.counter for state in shop.states))
    assert counters == list(range(1, len(counters) + 1))
