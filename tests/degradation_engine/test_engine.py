"""What the engine refuses, how it goes on after a restart, and holds."""

from __future__ import annotations

import pytest

from degradation_engine.domain import Engine, RefusalReason, Refused, StateUnreadable
from resilience_contracts import BreakerState, HealthObserved, Level, LevelState, Outcome, Version
from tests.degradation_engine.shop import POLICY, START, Shop, at, breaker, level_hold, report
from tests.degradation_engine.test_replay import busy_log, encoded, final_state, only_changes


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        (report("payments", [Outcome.OK], 0), RefusalReason.UNKNOWN_DEPENDENCY),
        (report("redis", [Outcome.OK], 61), RefusalReason.TIME_AHEAD),
        (report("redis", [Outcome.OK], 64 * 365 * 86_400), RefusalReason.TIME_AHEAD),
        (report("redis", [Outcome.OK], -86_401), RefusalReason.TIME_BEHIND),
        (report("redis", [Outcome.OK], -56 * 365 * 86_400), RefusalReason.TIME_BEHIND),
    ],
    ids=["unknown dependency", "a minute ahead", "2090", "a day behind", "1970"],
)
def test_a_hostile_event_is_refused_with_its_reason_and_changes_nothing(
    event: HealthObserved, reason: RefusalReason
) -> None:
    engine = Engine(POLICY)
    engine.observe(report("redis", [Outcome.OK], 0), START)
    before = engine.dump("default")

    with pytest.raises(Refused) as refused:
        engine.observe(event, START)

    assert refused.value.reason is reason
    assert engine.dump("default") == before


def test_a_hostile_event_gives_birth_to_no_scope() -> None:
    engine = Engine(POLICY)

    with pytest.raises(Refused):
        engine.observe(report("payments", [Outcome.OK], 0, scope="victim"), START)

    assert engine.scopes == []


def test_a_report_from_the_near_future_moves_no_clock() -> None:
    engine = Engine(POLICY)
    engine.observe(report("redis", [Outcome.OK], 0), START)

    engine.observe(report("redis", [Outcome.OK], 59, sequence=1), START)

    states = [event for event in engine.tick(at(31)) if isinstance(event, LevelState)]
    assert states
    assert all(state.observed_at <= at(31) for state in states)


def test_the_greatest_sequence_does_not_lock_its_observer_out() -> None:
    shop = Shop().run(60)
    shop.events += shop.engine.observe(report("postgresql", [Outcome.OK], 60, sequence=2**53), at(60))
    shop.down.add("postgresql")

    shop.run(30)

    assert shop.level is Level.MINIMAL


def test_a_restarted_engine_goes_on_byte_for_byte() -> None:
    log = busy_log(5)
    half = len(log) // 2
    steady, first = Engine(POLICY), Engine(POLICY)
    for event in log[:half]:
        steady.observe(event, event.observed_at)
        first.observe(event, event.observed_at)
    second = Engine(POLICY)
    second.restore(first.dump("default"))

    changes = [only_changes(steady.observe(event, event.observed_at)) for event in log[half:]]
    again = [only_changes(second.observe(event, event.observed_at)) for event in log[half:]]

    assert any(changes)
    assert [encoded(some) for some in again] == [encoded(some) for some in changes]
    assert second.version("default") == steady.version("default")


def test_a_deploy_that_takes_a_minute_looks_like_no_outage() -> None:
    shop = Shop().run(300)
    stored = shop.engine.dump("default")
    reports = len(shop.log)
    shop.run(60)
    backlog = shop.log[reports:]
    restarted = Engine(POLICY)
    restarted.restore(stored)

    events = [e for event in backlog for e in restarted.observe(event, event.observed_at)]
    events += restarted.tick(at(360))

    healths = {seen.health for e in events if isinstance(e, LevelState) for seen in e.dependencies.values()}
    assert {health.value for health in healths} == {"UP"}
    assert not any(e.stale for e in events if isinstance(e, LevelState))


def test_a_scope_whose_state_was_lost_goes_on_at_its_level_in_a_later_epoch() -> None:
    shop = Shop().run(60)
    shop.down.add("postgresql")
    shop.run(30)
    engine = Engine(POLICY)

    engine.succeed(shop.state, at(100))
    state = final_state(engine, at(101))

    assert state.known_level is Level.MINIMAL
    assert state.version.ordered() > shop.state.version.ordered()
    assert state.version.epoch > shop.state.version.epoch
    assert state.since == shop.state.since


def test_with_everything_lost_a_new_epoch_still_beats_the_old_one() -> None:
    old, new = Engine(POLICY), Engine(POLICY)
    old.observe(report("redis", [Outcome.OK], 0), at(0))

    new.observe(report("redis", [Outcome.OK], 10), at(10))

    assert new.version("default") > old.version("default")


def test_a_version_that_went_out_before_is_outrun_once() -> None:
    engine = Engine(POLICY)
    engine.observe(report("redis", [Outcome.OK], 0), START)
    epoch = engine.version("default").epoch

    engine.outrun("default", Version(epoch, 7))
    engine.outrun("default", Version(epoch, 3))

    assert engine.version("default") == Version(epoch, 8)


@pytest.mark.parametrize(
    "text", [b"", b"null", b"{}", b"\xff\xfe", b'{"name": "default"}', b"[" * 10_000], ids=repr
)
def test_an_unreadable_state_is_said_to_be_lost(text: bytes) -> None:
    with pytest.raises(StateUnreadable):
        Engine(POLICY).restore(text)


def test_a_state_of_a_later_schema_is_not_guessed_at() -> None:
    engine = Engine(POLICY)
    engine.observe(report("redis", [Outcome.OK], 0), START)
    later = engine.dump("default").replace(b'"schema_version":1', b'"schema_version":2')

    with pytest.raises(StateUnreadable, match="schema version 2"):
        Engine(POLICY).restore(later)


def test_a_hold_survives_a_restart_and_still_ends_on_time() -> None:
    shop = Shop().run(60)
    shop.hold(level_hold(Level.LIMITED, 60, lasts_s=100))
    restarted = Engine(POLICY)
    restarted.restore(shop.engine.dump("default"))

    changes = only_changes(restarted.tick(at(200)))

    assert [(change.to_level, change.changed_at) for change in changes] == [("OPTIMAL", at(160))]


def test_hold_only_ends_what_is_no_longer_held() -> None:
    shop = Shop().run(60)
    hold = level_hold(Level.LIMITED, 60)
    shop.events += shop.engine.hold_only({"default": hold}, at(60))
    assert shop.state.level == "LIMITED"

    assert shop.engine.hold_only({"default": hold}, at(61)) == []
    shop.events += shop.engine.hold_only({}, at(62))

    assert shop.level is Level.OPTIMAL


def test_a_hold_on_a_scope_that_is_not_known_yet_waits_for_it() -> None:
    engine = Engine(POLICY)
    assert engine.hold(level_hold(Level.MINIMAL, 0), START) == []

    events = engine.observe(report("redis", [Outcome.OK], 1), at(1))

    assert {event.level for event in events if isinstance(event, LevelState)} == {"MINIMAL"}


def test_one_hostile_scope_cannot_disturb_another() -> None:
    quiet, loud = Shop(), Shop()
    for shop in (quiet, loud):
        shop.run(60)
    for index in range(500):
        hostile = report(
            "redis", [Outcome.TIMEOUT] * 12, 60, scope="hostile", observer=f"o{index % 90}", sequence=index
        )
        loud.engine.observe(hostile, at(60))

    for shop in (quiet, loud):
        shop.run(60)

    assert quiet.engine.dump("default") == loud.engine.dump("default")


def test_so_many_scopes_are_kept_and_the_known_ones_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("degradation_engine.domain.engine.SCOPES_LIMIT", 2)
    engine = Engine(POLICY)
    for scope in ("one", "two"):
        engine.observe(report("redis", [Outcome.OK], 0, scope=scope), START)

    with pytest.raises(Refused, match="too_many_scopes"):
        engine.observe(report("redis", [Outcome.OK], 0, scope="three"), START)
    engine.observe(report("redis", [Outcome.OK], 1, scope="two", sequence=1), at(1))

    assert engine.scopes == ["one", "two"]


def test_breakers_alone_begin_no_scope_so_that_a_store_without_a_monitor_follows_its_region() -> None:
    engine = Engine(POLICY)

    assert engine.observe(breaker("redis", BreakerState.OPEN, 0), at(0)) == []
    assert engine.scopes == []
    assert not engine.tick(at(60))

    assert engine.observe(report("redis", [Outcome.OK] * 3, 61), at(61))
    engine.observe(breaker("redis", BreakerState.OPEN, 62, sequence=1), at(62))
    assert engine.scopes == ["default"]
