"""One dependency of one scope: who saw what of it, and what follows (degradation-policy, section 3)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from operator import itemgetter, neg
from typing import NamedTuple, Protocol, TypeVar

from resilience_contracts import BreakerState, Health, Policy

from . import score
from .instant import span_ms
from .outage import Outages
from .refusal import RefusalReason, Refused
from .report import Probe, Report
from .score import FULL, STALE_CAP, UNKNOWN_CAP, health_of, middle
from .sighting import (
    BreakerSighting,
    ProbeSighting,
    Sighting,
    longest_hit,
    of_breaker,
    of_probe,
)
from .usual import HITS_NEEDED, Usual, quick_ms, trifling, warned

S = TypeVar("S", bound=Sighting)

GRACE_INTERVALS = 3.0
OBSERVERS_LIMIT = 100
PAIR = 2
RANK = itemgetter(0, 1, 2)


class Traffic(NamedTuple):
    """What real calls meet: the share that works (B), and the share that is not slow (L)."""

    share: float
    speed: float


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the engine makes of a dependency now.

    `settled` is False while the evidence may not carry a promotion; `lone` marks silence that nothing else
    heard from this scope explains, so that it may as well be the monitor's.
    """

    health: Health
    score: int
    stale: bool = False
    settled: bool = True
    lone: bool = False
    disagreement: bool = False
    source: ProbeSighting | None = None


@dataclass(slots=True)
class Track:
    """Everything kept of one dependency. `kept_*` is the last judgement that rested on fresh evidence."""

    probes: dict[str, ProbeSighting] = field(default_factory=dict)
    breakers: dict[str, BreakerSighting] = field(default_factory=dict)
    health: Health = Health.UNKNOWN
    score: int = FULL
    stale: bool = False
    disagreement: bool = False
    since_ms: int = 0
    kept_health: Health = Health.UNKNOWN
    kept_score: int = FULL
    outages: Outages = field(default_factory=Outages)
    usual: Usual = field(default_factory=Usual)

    def sightings(self) -> Iterator[Sighting]:
        """Yield every observer's newest report."""
        yield from self.probes.values()
        yield from self.breakers.values()

    def check_room(self, event: Report, seen_ms: int) -> None:
        """Check that a report's observer is known, or may still be added.

        Raises:
            Refused: too many observers report on this dependency.
        """
        held: Mapping[str, Sighting] = self.probes if event.probe is not None else self.breakers
        if len(held) < OBSERVERS_LIMIT or event.observer in held:
            return
        if sum(seen_ms <= seen.silent_ms() for seen in held.values()) >= OBSERVERS_LIMIT:
            raise Refused(
                RefusalReason.TOO_MANY_OBSERVERS, f"{OBSERVERS_LIMIT} already report on this dependency"
            )

    def take(self, event: Report, policy: Policy, seen_ms: int) -> Sighting | None:
        """Keep a report for which there is room and return it, if it is newer than its observer's last one."""
        if event.probe is not None:
            longest_ms = longest_hit(event.probe.recent)
            slowness = self._slowness(event, event.probe, policy, seen_ms, longest_ms)
            probe = of_probe(event, event.probe, policy, seen_ms, slowness=slowness, longest_ms=longest_ms)
            if _keep(self.probes, event.observer, probe) is None:
                return None
            if policy.early_warning is not None and self.usual.due(seen_ms):
                self._learn(event, event.probe, policy, seen_ms)
            return probe
        if event.breaker is not None:
            before = self.breakers.get(event.observer)
            breaker = of_breaker(event, event.breaker, policy, seen_ms, before)
            return _keep(self.breakers, event.observer, breaker)
        return None

    def agrees(self, judgement: Judgement) -> bool:
        """Say whether a judgement on fresh evidence is the one that is held."""
        held = (self.health, self.score, self.stale, self.disagreement)
        judged = (judgement.health, judgement.score, judgement.stale, judgement.disagreement)
        return held == judged and judgement.source is not None

    def unmoved(self, sighting: Sighting, now_ms: int) -> bool:
        """Say quickly of a report, just taken, that it surely leaves the judgement and the outages as they are."""
        return (
            isinstance(sighting, ProbeSighting)
            and len(self.probes) == 1
            and not self.breakers
            and not self.stale
            and not self.disagreement
            and not sighting.run.misses
            and self.outages.open is None
            and _fresh(sighting, now_ms)
            and sighting.score(1.0) == self.score
            and _health(sighting, self.score) is self.health
        )

    def excuse(self, stored_ms: int, until_ms: int) -> None:
        """Count the age of what was fresh when the state was stored from `until_ms` on.

        Reports between the two may have been taken and then lost with the state that held them.
        """
        for name, probe in self.probes.items():
            if _fresh(probe, stored_ms):
                self.probes[name] = replace(probe, counted_ms=max(probe.counted_ms, until_ms))
        for name, breaker in self.breakers.items():
            if _fresh(breaker, stored_ms):
                self.breakers[name] = replace(breaker, counted_ms=max(breaker.counted_ms, until_ms))

    def slowness(self, now_ms: int) -> float:
        """Return how many times its usual the dependency takes, if its observers warn of that; else 0."""
        fresh = [seen.slowness for seen in self.probes.values() if _fresh(seen, now_ms)]
        return middle(fresh, neg) if fresh else 0.0

    def traffic(self, now_ms: int) -> Traffic | None:
        """Return what its replicas' calls meet, as the median says; None where no breaker can tell."""
        told = [
            (seen.traffic, seen.speed)
            for seen in self.breakers.values()
            if seen.traffic is not None and _fresh(seen, now_ms)
        ]
        if not told:
            return None
        return Traffic(*(middle(figures, float) for figures in zip(*told, strict=True)))

    def breaker_states(self, now_ms: int) -> dict[str, BreakerState]:
        """Return what each replica's breaker said lately."""
        return {name: seen.state for name, seen in self.breakers.items() if _fresh(seen, now_ms)}

    def settle(self, judgement: Judgement, now_ms: int) -> None:
        """Take a judgement over."""
        if judgement.health is not self.health:
            self.since_ms = now_ms
        self.health, self.score = judgement.health, judgement.score
        self.stale, self.disagreement = judgement.stale, judgement.disagreement
        if judgement.source is not None:
            self.kept_health, self.kept_score = judgement.health, judgement.score

    def seen_ms(self) -> int | None:
        """Return when anybody last saw this dependency."""
        return max((seen.seen_ms for seen in self.sightings()), default=None)

    def _learn(self, event: Report, probe: Probe, policy: Policy, seen_ms: int) -> None:
        quick = quick_ms(probe.recent)
        if quick is not None:
            self.usual.learn(quick, seen_ms, span_ms(policy.dependencies[event.dependency].interval_s))

    def _slowness(
        self, event: Report, probe: Probe, policy: Policy, seen_ms: int, longest_ms: float | None
    ) -> float:
        rule = policy.early_warning
        if rule is None:
            return 0.0
        objective_ms = policy.dependencies[event.dependency].latency_objective_ms
        enough = len(probe.recent) >= HITS_NEEDED
        if enough and longest_ms is not None and trifling(rule, longest_ms, objective_ms):
            return 0.0
        before = self.probes.get(event.observer)
        held = before.slowness if before is not None and _fresh(before, seen_ms) else 0.0
        quick = quick_ms(probe.recent)
        if quick is None:
            return held  # a monitor that has just begun says nothing of it yet
        times = self.usual.slowness(quick, seen_ms)
        told = warned(rule, times, quick, objective_ms, already=held > 0.0)
        return round(times, 1) if told else 0.0


class Hearing(Protocol):
    """When a scope was heard of; see `ScopeState`."""

    clock_ms: int
    born_ms: int
    heard_ms: int
    awake_ms: int


def judge(track: Track, name: str, policy: Policy, hearing: Hearing) -> Judgement:
    """Return what is believed of a dependency at the scope's clock."""
    believed = track.traffic(hearing.clock_ms)
    fresh = [seen for seen in track.probes.values() if _fresh(seen, hearing.clock_ms)]
    if fresh:
        return _judge_fresh(fresh, believed)
    if track.probes:
        newest = max(track.probes.values(), key=lambda seen: seen.counted_ms)
        return _judge_silent(track, newest, hearing)
    if believed is not None:
        points = score.dependency_score(1.0, believed.speed, believed.share)
        return Judgement(health_of(points), points)
    return _judge_unseen(name, policy, hearing)


def _judge_fresh(fresh: list[ProbeSighting], believed: Traffic | None) -> Judgement:
    traffic = believed or Traffic(1.0, 1.0)
    if len(fresh) == 1:
        source = fresh[0]
        points = source.score(*traffic)
        return Judgement(_health(source, points), points, source=source)
    scored = [(seen.score(*traffic), seen.seen_ms, seen.sequence, seen) for seen in fresh]
    points, _, _, source = middle(scored, RANK)
    disagreement = len(scored) == PAIR and len({_health(seen, own) for own, _, _, seen in scored}) > 1
    return Judgement(_health(source, points), points, disagreement=disagreement, source=source)


def _judge_silent(track: Track, newest: ProbeSighting, hearing: Hearing) -> Judgement:
    kept_down = track.kept_health is Health.DOWN
    if hearing.heard_ms <= newest.overdue_ms(hearing.awake_ms):
        return Judgement(track.kept_health, track.kept_score, stale=True, settled=False, lone=True)
    if hearing.clock_ms <= newest.silent_ms(hearing.awake_ms):
        capped = min(track.kept_score, STALE_CAP)
        return Judgement(Health.DOWN if kept_down else health_of(capped), capped, stale=True, settled=False)
    capped = min(track.kept_score, UNKNOWN_CAP)
    return Judgement(Health.DOWN if kept_down else Health.UNKNOWN, capped, stale=True, settled=not kept_down)


def _judge_unseen(name: str, policy: Policy, hearing: Hearing) -> Judgement:
    if min(hearing.clock_ms, hearing.heard_ms) <= unseen_until_ms(name, policy, hearing.born_ms):
        return Judgement(Health.UNKNOWN, FULL, settled=False)
    return Judgement(Health.UNKNOWN, UNKNOWN_CAP, stale=True)


def unseen_until_ms(name: str, policy: Policy, born_ms: int) -> int:
    """Return until when a dependency that nobody has reported yet is given the benefit of the doubt."""
    return born_ms + round(GRACE_INTERVALS * span_ms(policy.dependencies[name].interval_s))


def _health(seen: ProbeSighting, points: int) -> Health:
    return Health.DOWN if seen.presence <= 0.0 else health_of(points)


def _fresh(seen: Sighting, now_ms: int) -> bool:
    return now_ms <= seen.overdue_ms()


def _keep(held: dict[str, S], observer: str, sighting: S) -> S | None:
    before = held.get(observer)
    if before is not None:
        if not sighting.newer_than(before):
            return None
        held[observer] = sighting
        return sighting
    _forget_silent(held, sighting.seen_ms)
    held[observer] = sighting
    ordered = sorted(held.items())
    held.clear()
    held.update(ordered)
    return sighting


def _forget_silent(held: dict[str, S], now_ms: int) -> None:
    silent = [name for name, seen in held.items() if now_ms > seen.silent_ms()]
    for name in silent:
        del held[name]
