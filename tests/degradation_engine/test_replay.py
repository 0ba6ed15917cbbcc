"""The engine as a function of its log: replay, batching, duplicates, reordering, time."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from degradation_engine.domain import Engine
from resilience_contracts import Event, HealthObserved, LevelChanged, LevelState, Outcome
from tests.degradation_engine.shop import POLICY, START, Shop, report

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
