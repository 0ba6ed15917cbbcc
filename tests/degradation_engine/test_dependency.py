from __future__ import annotations

import pytest

from degradation_engine.domain import Refused
from degradation_engine.domain.dependency import OBSERVERS_LIMIT, Track
from degradation_engine.domain.instant import to_ms
from resilience_contracts import (
    BreakerState,
    DependencyState,
    Health,
    HealthObserved,
    LevelChanged,
    LevelState,
    Outcome,
)
from tests.degradation_engine.shop import POLICY, Shop, at, breaker, report

OK, MISS = Outcome.OK, Outcome.TIMEOUT


def judged(*events: HealthObserved, name: str = "redis", seconds: float | None = None) -> DependencyState:
    """Let an engine take the events and show what it makes of one dependency."""
    shop = Shop()
    states: list[LevelState] = []
    for event in events:
        out = shop.engine.observe(event, event.observed_at)
        states += [state for state in out if isinstance(state, LevelState)]
    if seconds is not None:
        states += [state for state in shop.engine.tick(at(seconds)) if isinstance(state, LevelState)]
    return states[-1].dependencies[name]


@pytest.mark.parametrize(
    ("outcomes", "health"),
    [
        ([OK], Health.UP),
        ([OK, MISS], Health.UP),
        ([OK, MISS, MISS], Health.IMPAIRED),
        ([OK, MISS, MISS, MISS], Health.DOWN),
        ([MISS, MISS, MISS, OK], Health.UP),
        ([OK, Outcome.AUTH, Outcome.AUTH, Outcome.AUTH], Health.DOWN),
        ([OK, *[Outcome.RATE_LIMITED] * 5], Health.IMPAIRED),
        ([OK, MISS, MISS, Outcome.CANCELLED, Outcome.NOT_RUN], Health.IMPAIRED),
        ([Outcome.CANCELLED], Health.UP),
    ],
)
def test_health_from_the_last_results(outcomes: list[Outcome], health: Health) -> None:
    assert judged(report("redis", outcomes, 100)).health is health


def test_slow_answers_impair_without_ever_being_down() -> None:
    seen = judged(report("redis", [OK] * 12, 100, latency_ms=5000))

    assert (seen.health, seen.score) == (Health.IMPAIRED, 70.0)


def test_traffic_that_fails_is_believed_over_a_probe_that_passes() -> None:
    seen = judged(report("redis", [OK] * 3, 100), breaker("redis", BreakerState.OPEN, 101))

    assert (seen.health, seen.score) == (Health.IMPAIRED, 25.0)
    assert seen.breakers == {"api-1": BreakerState.OPEN}


@pytest.mark.parametrize(
    ("slow_rate", "score", "warning"),
    [(0.75, 77.5, "75% of its calls are slow"), (1.0, 70.0, "100% of its calls are slow")],
)
@pytest.mark.parametrize("probes", [3, 0])
def test_calls_that_are_slow_impair_before_the_breaker_opens(
    slow_rate: float, score: float, warning: str, probes: int
) -> None:
    events = [report("redis", [OK] * probes, 100)] if probes else []
    monitored = report("postgresql", [OK], 99)

    seen = judged(monitored, *events, breaker("redis", BreakerState.CLOSED, 101, slow_rate=slow_rate))

    assert (seen.health, seen.score, seen.warning) == (Health.IMPAIRED, score, warning)


@pytest.mark.parametrize(
    ("state", "slow_rate"),
    [(BreakerState.CLOSED, None), (BreakerState.CLOSED, 0.6), (BreakerState.METRICS_ONLY, 1.0)],
)
def test_some_slow_calls_are_no_trouble(state: BreakerState, slow_rate: float | None) -> None:
    seen = judged(report("redis", [OK] * 3, 100), breaker("redis", state, 101, slow_rate=slow_rate))

    assert (seen.health, seen.warning) == (Health.UP, "")


def test_slowness_is_counted_once_whoever_saw_it() -> None:
    seen = judged(
        report("redis", [OK] * 12, 100, latency_ms=900),
        breaker("redis", BreakerState.CLOSED, 101, slow_rate=1.0),
    )

    assert seen.score == 70.0


@pytest.mark.parametrize(("open_ones", "health"), [(1, Health.UP), (2, Health.IMPAIRED)])
def test_of_three_replicas_the_median_breaker_counts(open_ones: int, health: Health) -> None:
    shop = Shop().run(60)
    for seconds in range(60, 100, 4):
        for index in range(3):
            state = BreakerState.OPEN if index < open_ones else BreakerState.CLOSED
            event = breaker("redis", state, seconds, observer=f"api-{index}", sequence=seconds)
            shop.events += shop.engine.observe(event, at(seconds))
        shop.run(4)

    assert shop.state.dependencies["redis"].health is health
    assert list(shop.state.dependencies["redis"].breakers.values()).count(BreakerState.OPEN) == open_ones


def test_a_breaker_report_that_grew_old_is_forgotten() -> None:
    shop = Shop().run(60)
    shop.events += shop.engine.observe(breaker("redis", BreakerState.OPEN, 60), at(60))
    assert shop.state.dependencies["redis"].score == 25.0

    shop.run(20)

    assert shop.state.dependencies["redis"].health is Health.UP
    assert shop.state.dependencies["redis"].breakers == {}


def test_a_breaker_that_waits_for_a_call_that_nobody_makes_says_nothing_after_the_dwell() -> None:
    shop = Shop().run(60)
    healths = {}
    for seconds in range(60, 240, 5):
        event = breaker("redis", BreakerState.HALF_OPEN, seconds, sequence=seconds)
        shop.events += shop.engine.observe(event, at(seconds))
        shop.run(5)
        healths[seconds] = shop.state.dependencies["redis"].health

    assert healths[60] is healths[170] is Health.IMPAIRED
    assert healths[190] is Health.UP


def test_the_better_of_two_observers_is_believed_and_the_disagreement_shown() -> None:
    seen = judged(
        report("redis", [OK, MISS, MISS, MISS], 100, observer="far"),
        report("redis", [OK] * 4, 101, observer="near"),
    )

    assert (seen.health, seen.disagreement) == (Health.UP, True)


def test_of_three_observers_the_median_counts() -> None:
    bad = [OK, MISS, MISS, MISS]

    seen = judged(
        report("redis", bad, 100, observer="a"),
        report("redis", [OK] * 4, 100, observer="b"),
        report("redis", bad, 101, observer="c"),
    )

    assert (seen.health, seen.disagreement) == (Health.DOWN, False)


def test_an_observer_that_fell_silent_no_longer_counts() -> None:
    shop = Shop().run(60)
    down = report("redis", [OK, MISS, MISS, MISS], 60, observer="other")
    shop.events += shop.engine.observe(down, at(60))

    shop.run(30)

    assert shop.state.dependencies["redis"].health is Health.UP
    assert shop.state.dependencies["redis"].disagreement is False


def test_so_many_observers_are_kept_and_no_more() -> None:
    track = Track()
    for index in range(OBSERVERS_LIMIT):
        event = report("redis", [OK], 100, observer=f"m{index}")
        assert track.take(event, POLICY, to_ms(event.observed_at))

    with pytest.raises(Refused, match="too_many_observers"):
        track.check_room(report("redis", [OK], 101, observer="one more"), to_ms(at(101)))
    later = report("redis", [OK], 200, observer="after the others fell silent")
    track.check_room(later, to_ms(at(200)))
    assert track.take(later, POLICY, to_ms(at(200)))
    assert list(track.probes) == ["after the others fell silent"]


def test_an_observer_too_many_swallows_no_change_that_was_due() -> None:
    shop = Shop().run(60)
    for number in range(OBSERVERS_LIMIT - 1):
        crowd = report("s3", [OK], 60, observer=f"o{number}", interval_s=30)
        shop.engine.observe(crowd, at(60))
    shop.down.add("openai")
    shop.run(12)
    assert shop.state.pending is not None
    due = shop.state.pending.earliest_at

    with pytest.raises(Refused, match="too_many_observers"):
        shop.engine.observe(report("s3", [OK], 85, observer="one more"), due)

    changes = [event for event in shop.engine.tick(due) if isinstance(event, LevelChanged)]
    assert [change.changed_at for change in changes] == [due]


def test_an_interval_of_an_hour_does_not_make_an_old_report_fresh() -> None:
    shop = Shop().run(60)
    slow = report("redis", [OK] * 4, 60, observer="slow", interval_s=3600)
    shop.events += shop.engine.observe(slow, at(60))
    shop.silent.add("redis")

    shop.run(300)

    assert shop.state.dependencies["redis"].health is Health.UNKNOWN
