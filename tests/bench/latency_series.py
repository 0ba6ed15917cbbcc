"""Simulated latencies of a dependency's probes, with what is really wrong written beside them.

Normal life: a day with a peak, noise, single spikes, bursts of some tens of seconds, a nightly job, and deploys after
which everything takes another time for good. Troubles: leaks, where latency grows over 5 to 60 minutes until probes
time out, and brown-outs, where it jumps and some probes fail.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from resilience_contracts import DependencyPolicy

DAY_S, HOUR_S, MINUTE_S = 86_400.0, 3_600.0, 60.0
USUAL_MS = {"openai": 250.0, "postgresql": 8.0, "redis": 3.0, "s3": 40.0}
NOISE, SPIKES, SPIKE_TIMES = 0.25, 0.01, (3.0, 12.0)
PEAK = 2.0
"""The busiest hour takes so many times as long as the quietest."""
NIGHTLY_HOUR, NIGHTLY_H, NIGHTLY = 3.0, 0.75, 3.0
BURSTS_A_DAY, BURST_S, BURST_TIMES = 6, (10.0, 40.0), (3.0, 10.0)
DEPLOYS_A_DAY, DEPLOY_TIMES = 0.5, (0.6, 1.7)
TROUBLES_A_DAY, LEAK_SHARE = 1.5, 0.75
LEAK_S, BROWN_OUT_S, OUTAGE_S = (300.0, 3600.0), (300.0, 900.0), (120.0, 900.0)
FALSE_FAILURES = 0.002


class Kind(Enum):
    """What is wrong."""

    LEAK = "leak"
    BROWN_OUT = "brown-out"


@dataclass(frozen=True)
class Trouble:
    """Something really wrong, in seconds from the start. A leak ends in time-outs from `fails_s` on."""

    kind: Kind
    start_s: float
    fails_s: float
    end_s: float
    curve: float
    """1 grows by equal steps; 0 by equal factors; between, by something between."""


@dataclass(frozen=True)
class Probe:
    """One result. It failed where its latency is beyond the deadline, and now and then for no reason."""

    at_s: float
    latency_ms: float
    failed: bool


@dataclass(frozen=True)
class Series:
    """All probes of one dependency."""

    name: str
    rule: DependencyPolicy
    probes: tuple[Probe, ...]
    troubles: tuple[Trouble, ...]
    days: float


def series(name: str, rule: DependencyPolicy, days: float, seed: int) -> Series:
    """Draw so many days of probes."""
    rng = random.Random(f"{name} {seed}")
    troubles = tuple(_troubles(rng, days))
    probes = tuple(_probes(name, rule, troubles, rng, days))
    return Series(name, rule, probes, troubles, days)


def _troubles(rng: random.Random, days: float) -> Iterator[Trouble]:
    """From the second day on, never two at once."""
    slot_s = DAY_S / TROUBLES_A_DAY
    for number in range(int((days - 1) * TROUBLES_A_DAY)):
        start_s = DAY_S + (number + rng.uniform(0.05, 0.8)) * slot_s
        if rng.random() < LEAK_SHARE:
            fails_s = start_s + math.exp(rng.uniform(*map(math.log, LEAK_S)))
            yield Trouble(Kind.LEAK, start_s, fails_s, fails_s + rng.uniform(*OUTAGE_S), rng.random())
        else:
            yield Trouble(Kind.BROWN_OUT, start_s, start_s, start_s + rng.uniform(*BROWN_OUT_S), 0.0)


def _moments(rng: random.Random, days: float, a_day: float) -> list[float]:
    return sorted(rng.uniform(0, days * DAY_S) for _ in range(round(days * a_day)))


def _probes(
    name: str, rule: DependencyPolicy, troubles: tuple[Trouble, ...], rng: random.Random, days: float
) -> Iterator[Probe]:
    deploys = [(at_s, rng.uniform(*DEPLOY_TIMES)) for at_s in _moments(rng, days, DEPLOYS_A_DAY)]
    bursts = [
        (at_s, at_s + rng.uniform(*BURST_S), rng.uniform(*BURST_TIMES))
        for at_s in _moments(rng, days, BURSTS_A_DAY)
    ]
    phase_h, base_ms, at_s = rng.uniform(0, 24), USUAL_MS[name], 0.0
    waiting = list(troubles)
    while at_s < days * DAY_S:
        if deploys and at_s >= deploys[0][0]:
            base_ms = USUAL_MS[name] * deploys.pop(0)[1]
        if bursts and at_s >= bursts[0][1]:
            bursts.pop(0)
        if waiting and at_s >= waiting[0].end_s:
            waiting.pop(0)
        usual_ms = base_ms * _season(at_s, phase_h)
        times = rng.lognormvariate(0, NOISE)
        if rng.random() < SPIKES:
            times *= rng.uniform(*SPIKE_TIMES)
        if bursts and at_s >= bursts[0][0]:
            times *= bursts[0][2]
        trouble = waiting[0] if waiting and at_s >= waiting[0].start_s else None
        latency_ms = _under(trouble, at_s, usual_ms, rule.deadline_s * 1000) * times
        failed = latency_ms >= rule.deadline_s * 1000 or rng.random() < (
            0.25 if trouble and trouble.kind is Kind.BROWN_OUT else FALSE_FAILURES
        )
        yield Probe(at_s, latency_ms, failed)
        at_s += rule.interval_s * rng.uniform(1.0, 1.1)


def _season(at_s: float, phase_h: float) -> float:
    hour = at_s / HOUR_S % 24
    wave = (1 + math.sin((hour - phase_h) / 24 * 2 * math.pi)) / 2
    nightly = NIGHTLY if NIGHTLY_HOUR <= hour < NIGHTLY_HOUR + NIGHTLY_H else 1.0
    return float(PEAK**wave * nightly)


def _under(trouble: Trouble | None, at_s: float, usual_ms: float, deadline_ms: float) -> float:
    if trouble is None:
        return usual_ms
    if trouble.kind is Kind.BROWN_OUT:
        return min(deadline_ms / 2, usual_ms * 12)
    if at_s >= trouble.fails_s:
        return deadline_ms * 2
    share = (at_s - trouble.start_s) / (trouble.fails_s - trouble.start_s)
    by_steps = usual_ms + (deadline_ms - usual_ms) * share
    by_factors = usual_ms * math.pow(deadline_ms / usual_ms, share)
    return trouble.curve * by_steps + (1 - trouble.curve) * by_factors
