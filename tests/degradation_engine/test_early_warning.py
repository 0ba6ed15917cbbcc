"""A dependency that grows slow is IMPAIRED before it fails, and says why."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from degradation_engine.domain import Engine
from resilience_contracts import (
    DependencyState,
    Event,
    Health,
    HealthObserved,
    Level,
    LevelChanged,
    LevelState,
    Observation,
    Outcome,
    Policy,
    ProbeReport,
)
from tests.degradation_engine.shop import POLICY, at

HOUR_S = 3600.0
QUIET = POLICY.model_copy(update={"early_warning": None})


@dataclass
class Monitor:
    """Makes the reports of one observer, one each interval."""

    name: str = "openai"
    observer: str = "monitor-1"
    interval_s: float = 10.0
    now_s: float = 0.0
    sequence: int = 0
    boot: int = 1
    recent: tuple[Observation, ...] = field(default=())

    def reports(self, latencies_ms: Iterable[float | None]) -> Iterator[HealthObserved]:
        for latency_ms in latencies_ms:
            self.now_s += self.interval_s
            self.sequence += 1
            outcome = Outcome.TIMEOUT if latency_ms is None else Outcome.OK
            seen = Observation.model_construct(
                outcome=outcome, latency_ms=latency_ms or 5000.0, at=at(self.now_s)
            )
            self.recent = (*self.recent, seen)[-12:]
            yield HealthObserved.model_construct(
                scope="default",
                dependency=self.name,
                observer=self.observer,
                boot=f"b{self.boot}",
                sequence=self.sequence,
                observed_at=seen.at,
                probe=ProbeReport.model_construct(
                    recent=self.recent, interval_s=self.interval_s, retry_after_s=None
                ),
                breaker=None,
            )

    def restart(self) -> None:
        self.boot, self.sequence, self.recent = self.boot + 1, 0, ()

    def steady(self, hours: float = 1.5, latency_ms: float = 400.0) -> Iterator[HealthObserved]:
        return self.reports([latency_ms] * int(hours * HOUR_S / self.interval_s))

    def leak(self, seconds: float, until_ms: float = 5000.0) -> Iterator[HealthObserved]:
        steps = int(seconds / self.interval_s)
        return self.reports(400 * (until_ms / 400) ** (step / steps) for step in range(steps))


class Listener:
    """An engine, and what it published last."""

    def __init__(self, policy: Policy = POLICY, engine: Engine | None = None) -> None:
        self.engine = engine or Engine(policy)
        self.last: list[LevelState] = []

    def feed(self, events: Iterable[HealthObserved]) -> list[LevelState]:
        """Take the events, with a tick after each, and return what was published last after each."""
        published = []
        for event in events:
            told = [*self.engine.observe(event, event.observed_at), *self.engine.tick(event.observed_at)]
            self.last = [state for state in (*self.last, *told) if isinstance(state, LevelState)][-1:]
            published += self.last
        return published


def openai(states: Iterable[LevelState]) -> list[DependencyState]:
    return [state.dependencies["openai"] for state in states]


def test_a_leak_is_told_minutes_before_the_first_probe_fails_and_explained() -> None:
    listener, monitor = Listener(), Monitor()
    before = openai(listener.feed(monitor.steady()))

    states = listener.feed(monitor.leak(1800))

    assert {seen.health for seen in before[1:]} == {Health.UP}
    first = next(i for i, seen in enumerate(openai(states)) if seen.health is Health.IMPAIRED)
    assert (len(states) - first) * monitor.interval_s > 600
    told = states[first].dependencies["openai"]
    assert (told.warning, told.score) == ("takes 3.5 x its usual for this hour", 70.0)
    assert "openai is IMPAIRED since" in states[first].cause
    assert "UTC: takes 3.5 x its usual for this hour" in states[first].cause


def test_a_warning_costs_what_slowness_costs_and_its_end_gives_it_back() -> None:
    others = [Monitor(name, interval_s=5) for name in POLICY.dependencies if name != "openai"]
    listener, monitor = Listener(), Monitor()
    listener.feed(merged(monitor.steady(), *(other.steady() for other in others)))

    slow = listener.feed(
        merged(monitor.reports([2000] * 12), *(other.reports([40] * 24) for other in others))
    )
    quick = listener.feed(
        merged(monitor.reports([400] * 40), *(other.reports([40] * 80) for other in others))
    )

    assert [slow[-1].known_level, quick[-1].known_level] == [Level.DEGRADED, Level.OPTIMAL]
    assert (slow[-1].score, slow[-1].dependencies["redis"].health) == (85.0, Health.UP)


def test_the_static_objective_alone_says_nothing_of_it() -> None:
    listener, monitor = Listener(QUIET), Monitor()
    listener.feed(monitor.steady())

    states = listener.feed(monitor.leak(1800, until_ms=4000))

    assert {seen.health for seen in openai(states)} == {Health.UP}
    assert json.loads(listener.engine.dump("default"))["tracks"]["openai"]["usual"]["heard_s"] == 0


def test_it_is_up_again_once_it_is_as_quick_as_usual() -> None:
    listener, monitor = Listener(), Monitor()
    listener.feed(monitor.steady())
    assert openai(listener.feed(monitor.reports([2000] * 12)))[-1].health is Health.IMPAIRED

    states = listener.feed(monitor.reports([400] * 40))

    assert [(seen.health, seen.warning) for seen in openai(states)[10:]] == [(Health.UP, "")] * 30


def test_what_is_quick_against_its_objective_is_never_slow() -> None:
    listener, monitor = Listener(), Monitor("redis", interval_s=5)
    listener.feed(monitor.steady(latency_ms=0.4))

    states = listener.feed(monitor.reports([9.0] * 24))

    assert {state.dependencies["redis"].health for state in states} == {Health.UP}


@settings(max_examples=10, deadline=None)
@given(st.floats(0.01, 4999), st.sampled_from(sorted(POLICY.dependencies)), st.floats(0, 86_400))
def test_constant_latency_is_never_warned_of(latency_ms: float, name: str, start_s: float) -> None:
    listener, monitor = Listener(), Monitor(name, now_s=start_s, interval_s=30)

    for event in monitor.steady(6, latency_ms):
        listener.engine.observe(event, event.observed_at)
        assert (
            json.loads(listener.engine.dump("default"))["tracks"][name]["probes"]["monitor-1"]["slowness"]
            == 0
        )


@pytest.mark.parametrize("same_name", [True, False])
def test_a_restarted_monitor_whose_first_probes_are_slow_invents_no_warning(same_name: bool) -> None:
    listener, monitor = Listener(), Monitor()
    listener.feed(monitor.steady())
    monitor.restart()
    if not same_name:
        monitor.observer = "monitor-2"

    states = listener.feed(monitor.reports([2000, 1900, 2000, *[400] * 20]))

    assert {seen.health for seen in openai(states)} == {Health.UP}


@pytest.mark.parametrize("quick_ms", [400, 10])
def test_a_restarted_monitor_does_not_end_a_warning_before_it_can_say(quick_ms: float) -> None:
    listener, monitor = Listener(), Monitor()
    listener.feed(monitor.steady())
    listener.feed(monitor.reports([2000] * 12))
    monitor.restart()

    states = openai(listener.feed(monitor.reports([quick_ms] * 7)))

    assert [seen.health for seen in states[:6]] == [Health.IMPAIRED] * 5 + [Health.UP]


def test_a_warning_of_before_a_long_silence_is_forgotten() -> None:
    listener, monitor = Listener(), Monitor()
    listener.feed(monitor.steady())
    listener.feed(monitor.reports([2000] * 12))
    monitor.restart()
    monitor.now_s += 6 * HOUR_S

    assert openai(listener.feed(monitor.reports([400])))[-1].health is Health.UP


def test_of_two_observers_the_one_that_sees_no_slowness_is_believed() -> None:
    listener, near, far = Listener(), Monitor(), Monitor(observer="monitor-2", now_s=1.0)
    listener.feed(merged(near.steady(), far.steady()))

    one = openai(listener.feed(merged(near.reports([400] * 12), far.reports([2000] * 12))))
    both = openai(listener.feed(merged(near.reports([2000] * 12), far.reports([2000] * 12))))

    assert (one[-1].health, one[-1].warning) == (Health.UP, "")
    assert both[-1].health is Health.IMPAIRED
    assert both[-1].warning.startswith("takes ")


def merged(*logs: Iterable[HealthObserved]) -> list[HealthObserved]:
    return sorted((event for log in logs for event in log), key=lambda event: event.observed_at)


@cache
def slow_log(seed: int) -> list[HealthObserved]:
    """An hour and a half of noise, then leaks, bursts and misses."""
    rng, monitor = random.Random(seed), Monitor()
    log = list(monitor.reports(400 * rng.lognormvariate(0, 0.25) for _ in range(540)))
    for _ in range(3):
        log += monitor.leak(rng.choice([300, 900]))
        log += monitor.reports(rng.choice([None, 400, 800, 4000]) for _ in range(20))
        log += monitor.reports(400 * rng.lognormvariate(0, 0.25) for _ in range(20))
    return log


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 2), st.integers(0, 2**32))
def test_a_log_gives_the_same_bytes_however_often_anybody_looks_and_whatever_comes_twice(
    seed: int, pick: int
) -> None:
    rng, plain, watched = random.Random(pick), Engine(POLICY), Engine(POLICY)
    told: list[Event] = []
    again: list[Event] = []
    for event in slow_log(seed):
        told += plain.observe(event, event.observed_at)
        for copy in [event] * rng.randint(1, 3):
            again += watched.observe(copy, event.observed_at)
        if rng.random() < 0.3:
            again += watched.tick(event.observed_at)

    assert watched.dump("default") == plain.dump("default")
    assert _changes(again) == _changes(told)
    assert any("x its usual for this hour" in change for change in _changes(told))


def _changes(told: Iterable[Event]) -> list[str]:
    return [event.model_dump_json() for event in told if isinstance(event, LevelChanged)]


def test_what_is_usual_survives_a_restart_of_the_engine() -> None:
    listener, monitor = Listener(), Monitor()
    listener.feed(monitor.steady())
    successor = Engine(POLICY)
    successor.restore(listener.engine.dump("default"))
    log = list(monitor.reports([2000] * 12))

    told, again = listener.feed(log), Listener(engine=successor).feed(log)

    assert openai(again)[-1].warning == openai(told)[-1].warning == "takes 5.0 x its usual for this hour"


def test_a_state_of_before_there_were_warnings_is_still_read() -> None:
    listener, monitor = Listener(), Monitor()
    listener.feed(monitor.steady(0.1))
    stored = json.loads(listener.engine.dump("default"))
    for track in stored["tracks"].values():
        del track["usual"]
        for probe in track["probes"].values():
            del probe["slowness"]

    successor = Engine(POLICY)

    assert successor.restore(json.dumps(stored).encode()) == "default"
    assert openai(Listener(engine=successor).feed(monitor.steady(0.1)))[-1].health is Health.UP
