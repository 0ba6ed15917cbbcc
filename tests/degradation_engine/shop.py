"""A simulated shop: monitors that probe at their interval, re-probe after a first miss, and report."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from degradation_engine.domain import Engine
from resilience_contracts import (
    BreakerReport,
    BreakerState,
    Event,
    HealthObserved,
    HoldSet,
    Level,
    LevelChanged,
    LevelState,
    Observation,
    Outcome,
    Policy,
    ProbeReport,
    default_policy,
)

START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
POLICY = default_policy()
WINDOW = 12


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def observation(outcome: Outcome, seconds: float, latency_ms: float = 5.0) -> Observation:
    return Observation(outcome=outcome, latency_ms=latency_ms, at=at(seconds))


def report(
    dependency: str,
    outcomes: Iterable[Outcome],
    seconds: float,
    *,
    observer: str = "monitor-1",
    sequence: int = 0,
    interval_s: float = 5,
    scope: str = "default",
    boot: str = "b1",
    latency_ms: float = 5.0,
) -> HealthObserved:
    """A probe report whose observations lie one interval apart and end now."""
    listed = list(outcomes)
    first = seconds - interval_s * (len(listed) - 1)
    recent = tuple(
        observation(outcome, first + interval_s * index, latency_ms) for index, outcome in enumerate(listed)
    )
    return HealthObserved(
        scope=scope,
        dependency=dependency,
        observer=observer,
        boot=boot,
        sequence=sequence,
        observed_at=at(seconds),
        probe=ProbeReport(recent=recent, interval_s=interval_s),
    )


def breaker(
    dependency: str,
    state: BreakerState,
    seconds: float,
    *,
    observer: str = "api-1",
    failure_rate: float | None = None,
    slow_rate: float | None = None,
    sequence: int = 0,
    scope: str = "default",
) -> HealthObserved:
    return HealthObserved(
        scope=scope,
        dependency=dependency,
        observer=observer,
        boot="b1",
        sequence=sequence,
        observed_at=at(seconds),
        breaker=BreakerReport(state=state, failure_rate=failure_rate, slow_rate=slow_rate, interval_s=5),
    )


def level_hold(
    level: Level, seconds: float, *, lasts_s: float = 600, allow_better: bool = False, version: int = 1
) -> HoldSet:
    return HoldSet(
        scope="default",
        target="level",
        hold_id="h1",
        version=version,
        level=level.name,
        reason="planned maintenance tonight",
        actor="ops",
        set_at=at(seconds),
        expires_at=at(seconds + lasts_s),
        allow_better=allow_better,
    )


@dataclass
class Shop:
    """One scope under one engine. Time moves by `run`; every dependency in `down` misses its probes."""

    policy: Policy = POLICY
    observer: str = "monitor-1"
    now_s: float = 0.0
    down: set[str] = field(default_factory=set)
    silent: set[str] = field(default_factory=set)
    latency_ms: dict[str, float] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)
    log: list[HealthObserved] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.engine = Engine(self.policy)
        self._recent: dict[str, list[Observation]] = {name: [] for name in self.policy.dependencies}
        self._due: dict[str, float] = {
            name: self.now_s + 0.1 * index for index, name in enumerate(self.policy.dependencies)
        }
        self._sequence = 0

    def run(self, seconds: float) -> Shop:
        """Let the monitors work for some time, with a tick of the engine each second."""
        end, tick = self.now_s + seconds, float(int(self.now_s) + 1)
        while (soonest := min(*self._due.values(), tick)) <= end:
            self.now_s = soonest
            if soonest == tick:
                self.events += self.engine.tick(at(tick))
                tick += 1
            for name in [name for name, due in self._due.items() if due <= soonest]:
                self._probe(name)
        self.now_s = end
        return self

    def hold(self, hold: HoldSet) -> None:
        self.events += self.engine.hold(hold, at(self.now_s))

    def _probe(self, name: str) -> None:
        missed = name in self.down
        recent = self._recent[name]
        latency_ms = self.latency_ms.get(name, 5.0)
        recent.append(observation(Outcome.TIMEOUT if missed else Outcome.OK, self.now_s, latency_ms))
        del recent[:-WINDOW]
        trailing = [seen.outcome for seen in recent[-3:]]
        confirming = missed and trailing.count(Outcome.TIMEOUT) < min(3, len(recent))
        interval_s = self.policy.dependencies[name].interval_s
        self._due[name] = self.now_s + (1.0 if confirming or (missed and len(recent) < 3) else interval_s)
        if name not in self.silent:
            self._publish(name, interval_s)

    def _publish(self, name: str, interval_s: float) -> None:
        self._sequence += 1
        event = HealthObserved(
            scope="default",
            dependency=name,
            observer=self.observer,
            boot="b1",
            sequence=self._sequence,
            observed_at=at(self.now_s),
            probe=ProbeReport(recent=tuple(self._recent[name]), interval_s=interval_s),
        )
        self.log.append(event)
        self.events += self.engine.observe(event, event.observed_at)

    @property
    def states(self) -> list[LevelState]:
        return [event for event in self.events if isinstance(event, LevelState)]

    @property
    def changes(self) -> list[LevelChanged]:
        return [event for event in self.events if isinstance(event, LevelChanged)]

    @property
    def state(self) -> LevelState:
        return self.states[-1]

    @property
    def level(self) -> Level:
        return self.state.known_level
