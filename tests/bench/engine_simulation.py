"""Thirty simulated days: how often the level changes, how often without cause, how soon an outage is found.

Probes every 10 s with 1 % false failures, after a miss again after 1 s, as the health monitor does. Real troubles:
outages that refuse at once or that time out, brown-outs (30 % of probes fail, the others are slow), flapping. The
same probes go to two naive rules beside the engine: "last probe only", and "three in a row". Bounds of the policy:
at most 4 changes a day, at most 5 false demotions in 30 days, p95 of detection at most 30 s.
"""

from __future__ import annotations

import heapq
import json
import random
import re
import statistics
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import Enum
from itertools import pairwise
from pathlib import Path

from degradation_engine.domain import Engine
from degradation_engine.domain.level import target
from resilience_contracts import (
    HealthObserved,
    Level,
    LevelChanged,
    Observation,
    Outcome,
    Policy,
    ProbeReport,
    default_policy_text,
    parse_policy,
)

START = datetime(2026, 3, 1, tzinfo=UTC)
CHUNKS, CHUNK_DAYS = 3, 10
DAY_S = 86_400.0
INTERVAL_S, REPROBE_S = 10.0, 1.0
FALSE_FAILURES = 0.01
TAIL_S = 180.0
"""A demotion this soon after a trouble still has a cause: the window remembers it."""
CONFIRM_S = 60.0
CHANGES_A_DAY, FALSE_DEMOTIONS, DETECTION_P95_S = 4.0, 5, 30.0
RESULT = Path(".stack/bench/engine_simulation.json")
LINE = "{rule:20} {changes:11.1f} {false:15} {missed:6} {median:8.1f} {p95:6.1f}"


class Kind(Enum):
    """What is wrong with a dependency."""

    REFUSES = "refuses"
    TIMES_OUT = "times out"
    BROWN_OUT = "brown-out"
    FLAPS = "flaps"


@dataclass(frozen=True)
class Trouble:
    """Something really wrong, in seconds from the start."""

    name: str
    kind: Kind
    start_s: float
    end_s: float

    def fails(self, now_s: float, rng: random.Random) -> bool:
        if self.kind is Kind.BROWN_OUT:
            return rng.random() < 0.3
        if self.kind is Kind.FLAPS:
            return int((now_s - self.start_s) / 40) % 2 == 0
        return True


@dataclass(frozen=True)
class Probe:
    """One result, when it is known."""

    at_s: float
    name: str
    missed: bool
    latency_ms: float


@dataclass
class Tally:
    """What one rule did."""

    changes: int = 0
    false_demotions: int = 0
    missed: int = 0
    detection_s: list[float] = field(default_factory=list)

    def add(self, other: Tally) -> None:
        self.changes += other.changes
        self.false_demotions += other.false_demotions
        self.missed += other.missed
        self.detection_s += other.detection_s


# Each dependency by turns: outages in ten days, and the median of their minutes.
OUTAGES = {"openai": (3, 25.0), "postgresql": (1, 5.0), "redis": (1, 5.0), "s3": (1, 5.0)}


def simulated_policy() -> Policy:
    """Return the shipped policy with every probe at 10 s."""
    return parse_policy(re.sub(r"interval_s: \d+", f"interval_s: {INTERVAL_S:g}", default_policy_text()))


def troubles(rng: random.Random, days: float) -> list[Trouble]:
    """Draw the real troubles of so many days, never two at once."""
    wanted: list[tuple[str, Kind, float]] = []
    for name, (count, median_min) in OUTAGES.items():
        for _ in range(count):
            kind = rng.choice([Kind.REFUSES, Kind.TIMES_OUT])
            wanted.append((name, kind, max(2.0, rng.lognormvariate(0, 0.8) * median_min) * 60))
    wanted.append((rng.choice(list(OUTAGES)), Kind.BROWN_OUT, 900.0))
    wanted.append((rng.choice(list(OUTAGES)), Kind.FLAPS, 600.0))
    rng.shuffle(wanted)
    slot_s = days * DAY_S / len(wanted)
    return [
        Trouble(name, kind, start_s, start_s + min(length_s, slot_s / 2))
        for index, (name, kind, length_s) in enumerate(wanted)
        for start_s in [index * slot_s + rng.uniform(1800, slot_s / 3)]
    ]


def probes(policy: Policy, real: list[Trouble], rng: random.Random, days: float) -> Iterator[Probe]:
    """Yield every probe in the order in which it ends."""
    due = [(rng.uniform(0, INTERVAL_S), name) for name in policy.dependencies]
    heapq.heapify(due)
    streak = dict.fromkeys(policy.dependencies, 0)
    while due:
        began_s, name = heapq.heappop(due)
        if began_s > days * DAY_S:
            continue
        probe = _probe(policy, real, rng, began_s, name)
        streak[name] = streak[name] + 1 if probe.missed else 0
        pause_s = REPROBE_S if 0 < streak[name] < 3 else INTERVAL_S
        heapq.heappush(due, (probe.at_s + pause_s, name))
        yield probe


def _probe(policy: Policy, real: list[Trouble], rng: random.Random, began_s: float, name: str) -> Probe:
    rule = policy.dependencies[name]
    now = next((t for t in real if t.name == name and t.start_s <= began_s < t.end_s), None)
    missed = now.fails(began_s, rng) if now else rng.random() < FALSE_FAILURES
    slow = 2.5 if now and now.kind is Kind.BROWN_OUT else 0.3
    took_s = rule.latency_objective_ms * slow * rng.uniform(0.5, 1.5) / 1000
    if missed:
        took_s = rule.deadline_s if now and now.kind is Kind.TIMES_OUT else 0.01
    return Probe(began_s + took_s, name, missed, took_s * 1000)


def at(seconds: float) -> datetime:
    return START + timedelta(milliseconds=round(seconds * 1000))


Change = tuple[float, Level, Level]


def by_engine(policy: Policy, seen: list[Probe]) -> list[Change]:
    """Return the engine's changes of level: when, from, to."""
    engine, changes = Engine(policy), list[Change]()
    recent: dict[str, tuple[Observation, ...]] = dict.fromkeys(policy.dependencies, ())
    for sequence, probe in enumerate(sorted(seen, key=lambda probe: probe.at_s)):
        event = _event(probe, sequence, recent)
        for told in engine.observe(event, event.observed_at):
            if isinstance(told, LevelChanged):
                seconds = (told.changed_at - START).total_seconds()
                changes.append((seconds, Level(told.from_rank), Level(told.to_rank)))
    return changes


def _event(probe: Probe, sequence: int, recent: dict[str, tuple[Observation, ...]]) -> HealthObserved:
    outcome = Outcome.TIMEOUT if probe.missed else Outcome.OK
    latest = Observation.model_construct(outcome=outcome, latency_ms=probe.latency_ms, at=at(probe.at_s))
    recent[probe.name] = (*recent[probe.name], latest)[-12:]
    return HealthObserved.model_construct(
        scope="default",
        dependency=probe.name,
        observer="monitor-1",
        boot="b",
        sequence=sequence,
        observed_at=latest.at,
        probe=ProbeReport.model_construct(
            recent=recent[probe.name], interval_s=INTERVAL_S, retry_after_s=None
        ),
        breaker=None,
    )


def by_streak(policy: Policy, seen: list[Probe], needed: int) -> list[Change]:
    """Return the changes of a rule that believes so many misses in a row, and every hit."""
    streak, changes, level = dict.fromkeys(policy.dependencies, 0), list[Change](), Level.OPTIMAL
    for probe in sorted(seen, key=lambda probe: probe.at_s):
        streak[probe.name] = streak[probe.name] + 1 if probe.missed else 0
        now = expected(policy, frozenset(name for name, count in streak.items() if count >= needed))
        if now != level:
            changes.append((probe.at_s, level, now))
            level = now
    return changes


def expected(policy: Policy, down: frozenset[str]) -> Level:
    score = (100 - sum(policy.weights[name] for name in down)) * 100
    return target(policy, score, down, Level.OPTIMAL).level


def tally(policy: Policy, changes: list[Change], real: list[Trouble]) -> Tally:
    """Count changes, demotions without a cause, and how long after its start each outage was acted on."""
    result = Tally(changes=len(changes))
    for at_s, before, after in changes:
        caused = any(t.start_s <= at_s <= t.end_s + TAIL_S for t in real)
        result.false_demotions += after > before and not caused
    for trouble in real:
        if trouble.kind in {Kind.REFUSES, Kind.TIMES_OUT}:
            wanted = expected(policy, frozenset({trouble.name}))
            found = _reached(changes, wanted, trouble)
            if found is None:
                result.missed += 1
            else:
                result.detection_s.append(found - trouble.start_s)
    return result


def _reached(changes: list[Change], wanted: Level, trouble: Trouble) -> float | None:
    level_since = [(0.0, Level.OPTIMAL), *((at_s, after) for at_s, _, after in changes), (float("inf"), None)]
    for (since_s, level), (until_s, _) in pairwise(level_since):
        if level is not None and level >= wanted and until_s > trouble.start_s:
            found_s = max(since_s, trouble.start_s)
            return found_s if found_s < trouble.end_s + CONFIRM_S else None
    return None


def chunk(seed: int) -> dict[str, Tally]:
    """Simulate ten days."""
    rng, policy = random.Random(seed), simulated_policy()
    real = troubles(rng, CHUNK_DAYS)
    seen = list(probes(policy, real, rng, CHUNK_DAYS))
    rules = {
        "last probe only": by_streak(policy, seen, 1),
        "three in a row": by_streak(policy, seen, 3),
        "degradation engine": by_engine(policy, seen),
    }
    return {rule: tally(policy, changes, real) for rule, changes in rules.items()}


def main() -> int:
    """Simulate, print the table, answer 0 when the engine is within its bounds."""
    totals: dict[str, Tally] = {}
    with ProcessPoolExecutor(max_workers=2) as pool:
        for tallies in pool.map(chunk, range(1, CHUNKS + 1)):
            for rule, counted in tallies.items():
                totals.setdefault(rule, Tally()).add(counted)
    rows = [_row(rule, counted) for rule, counted in totals.items()]
    print(
        f"{'rule':20} {'changes/day':>11} {'false demotions':>15} {'missed':>6} {'median s':>8} {'p95 s':>6}"
    )
    for row in rows:
        print(LINE.format_map(row))
    faults = list(_faults(rows[-1]))
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    RESULT.write_text(json.dumps({"rows": rows, "missed": faults}, indent=2), encoding="utf-8")
    print("\n".join(faults))
    return bool(faults)


def _row(rule: str, counted: Tally) -> dict[str, float | int | str]:
    ordered = sorted(counted.detection_s)
    return {
        "rule": rule,
        "changes": counted.changes / (CHUNKS * CHUNK_DAYS),
        "false": counted.false_demotions,
        "missed": counted.missed,
        "median": statistics.median(ordered),
        "p95": ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))],
    }


def _faults(row: dict[str, float | int | str]) -> Iterator[str]:
    bounds = (("changes", CHANGES_A_DAY), ("false", FALSE_DEMOTIONS), ("p95", DETECTION_P95_S), ("missed", 0))
    for name, bound in bounds:
        value = row[name]
        if isinstance(value, int | float) and value > bound:
            yield f"{name} is {value:.1f}, above its bound {bound:g}"


if __name__ == "__main__":
    sys.exit(main())
