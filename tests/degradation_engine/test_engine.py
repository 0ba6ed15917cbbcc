"""The engine as a function of its log: replay, batching, duplicates, reordering, hostile events, restarts."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from degradation_engine.domain import Engine, RefusalReason, Refused, StateUnreadable
from resilience_contracts import Event, HealthObserved, Level, LevelChanged, LevelState, Outcome, Version
from tests.degradation_engine.shop import POLICY, START, Shop, at, level_hold, report

NAMES = sorted(POLICY.dependencies)


@cache
def busy_log(seed: int, seconds: float = 900) -> list[HealthObserved]:
    """The reports of a shop with troubles of every kind at random times."""
    rng = random.Random(seed)
    shop = Shop()
    while shop.now_s < seconds:
        shop.down = {name for name in NAMES if rng.random() < 0.25}
        shop.silent = {name for name in NAMES if rng.random() < 0.1}
        shop.run(rng.choice([3, 11, 40, 150]))
    return shop.log


def replay(
    log: Iterable[HealthObserved], ticks: Callable[[datetime, datetime], Iterable[datetime]]
) -> tuple[list[LevelChanged], bytes]:
    """Feed a log with ticks in between and return the changes and the final state."""
    engine, changes, before = Engine(POLICY), list[LevelChanged](), START
    for event in log:
        for moment in ticks(before, event.observed_at):
            changes += only_changes(engine.tick(moment))
        changes += only_changes(engine.observe(event, event.observed_at))
        before = max(before, event.observed_at)
    return changes, engine.dump("default")


def only_changes(events: Iterable[Event]) -> list[LevelChanged]:
    return [event for event in events if isinstance(event, LevelChanged)]


def no_ticks(_before: datetime, _after: datetime) -> list[datetime]:
    return []


def encoded(changes: Sequence[LevelChanged]) -> list[str]:
    return [change.model_dump_json() for change in changes]


@pytest.mark.parametrize("seed", range(4))
def test_the_same_log_gives_the_same_bytes(seed: int) -> None:
    log = busy_log(seed)

    one, other = replay(log, no_ticks), replay(log, no_ticks)

    assert one[0]
    assert encoded(one[0]) == encoded(other[0])
    assert one[1] == other[1]


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 3), st.integers(0, 2**32))
def test_how_often_anybody_looks_changes_nothing(seed: int, look: int) -> None:
    log, rng = busy_log(seed, 300), random.Random(look)

    def some(before: datetime, after: datetime) -> list[datetime]:
        span_s = max(0.0, (after - before).total_seconds())
        return [before + timedelta(seconds=span_s * part) for part in sorted(rng.random() for _ in range(3))]

    plain, watched = replay(log, no_ticks), replay(log, some)

    assert encoded(watched[0]) == encoded(plain[0])
    assert watched[1] == plain[1]


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 3), st.integers(0, 2**32))
def test_duplicates_change_nothing(seed: int, pick: int) -> None:
    log, rng = busy_log(seed, 300), random.Random(pick)
    doubled = [again for event in log for again in (event, *rng.choices([event], k=rng.randint(0, 2)))]
    late = [*doubled, *rng.sample(log, min(30, len(log)))]

    assert encoded(replay(doubled, no_ticks)[0]) == encoded(replay(log, no_ticks)[0])
    assert replay(doubled, no_ticks)[1] == replay(log, no_ticks)[1]
    assert replay(late, no_ticks)[1] == replay(log, no_ticks)[1]


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32), st.integers(2, 12))
def test_reordered_reports_of_an_observer_end_in_the_same_judgement(seed: int, width: int) -> None:
    rng = random.Random(seed)
    shop = Shop().run(120)
    shop.down = {rng.choice(NAMES)}
    log = shop.run(60).log
    cut = len(log) - width
    shuffled = [*log[:cut], *rng.sample(log[cut:], width)]
    last = log[-1].observed_at

    engines = Engine(POLICY), Engine(POLICY)
    for engine, events in zip(engines, (log, shuffled), strict=True):
        for event in events:
            engine.observe(event, max(event.observed_at, last) if event in log[cut:] else event.observed_at)

    one, other = (final_state(engine, last + timedelta(seconds=40)) for engine in engines)
    assert one.level == other.level
    assert one.score == other.score
    assert {n: d.health for n, d in one.dependencies.items()} == {
        n: d.health for n, d in other.dependencies.items()
    }


def final_state(engine: Engine, now: datetime) -> LevelState:
    events = engine.tick(now)
    return [event for event in events if isinstance(event, LevelState)][-1]


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.tuples(st.integers(-100_000, 100_000), st.sampled_from(NAMES), st.booleans()), max_size=60)
)
def test_time_and_versions_never_run_backwards(steps: list[tuple[int, str, bool]]) -> None:
    engine, states = Engine(POLICY), list[LevelState]()
    engine.observe(report("redis", [Outcome.OK], 0), START)
    now = START
    for sequence, (step_ms, name, missed) in enumerate(steps):
        now += timedelta(milliseconds=step_ms)
        outcome = Outcome.TIMEOUT if missed else Outcome.OK
        seconds = (now - START).total_seconds()
        event = report(name, [outcome] * 4, seconds, sequence=sequence)
        states += [e for e in engine.observe(event, now) if isinstance(e, LevelState)]
        states += [e for e in engine.tick(now) if isinstance(e, LevelState)]

    order = [(state.version.ordered(), state.observed_at) for state in states]
    assert order == sorted(order)
    assert [state.since for state in states] == sorted(state.since for state in states)


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
