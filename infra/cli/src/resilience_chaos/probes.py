"""What Chaos Toolkit looks at. Each names the stack by the configuration's `root`."""

from __future__ import annotations

import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx

from resilience_contracts import Level

from .session import Session, session
from .watch import CONSUMERS, version_of

__all__ = ["can_sell", "features", "is_calm", "promises", "settles", "steady"]

Configuration = dict[str, Any]
CALM_S = 90.0
FEATURES_S = 15.0
MISSES = 4
STEPS = 5
DECIDING = frozenset({"kafka", "health-monitor", "degradation-engine"})
"""Without one of these the level stands still, whatever else is broken."""


def is_calm(configuration: Configuration) -> bool:
    """Wait until both consumers stand at OPTIMAL, fresh, for as long as the policy in force may need."""
    here = session(Path(configuration["root"]))
    timing = here.policy.timing
    patience_s = CALM_S + STEPS * timing.promote_dwell_s + 2 * timing.heartbeat_s
    if here.watch and any(part.partition(":")[0] in DECIDING for part in here.record.faulted):
        time.sleep(_notice_s(here))  # what nobody heard of meanwhile is decided on only now
    with httpx.Client(timeout=5, trust_env=False) as client:
        calm = here.await_true(lambda: _is_calm(client, here), patience_s)
    if calm:
        here.note("settled", "OPTIMAL again")
    return calm


def can_sell(configuration: Configuration) -> bool:
    """Wait until a hold of stock is granted, or refused for want of stock alone."""
    here = session(Path(configuration["root"]))
    enough = {
        httpx.codes.CREATED,
        httpx.codes.CONFLICT,
        httpx.codes.NOT_FOUND,
        httpx.codes.UNPROCESSABLE_ENTITY,
    }

    def sells(client: httpx.Client) -> bool:
        try:
            read = client.post("/v1/availability:batch", json={"skus": [here.goods.plenty]})
            lines = [{"sku": f"{here.goods.plenty}-NONE", "location": "none", "quantity": 1}]
            held = client.post(
                "/v1/reservations",
                json={"owner_ref": "chaos", "lines": lines},
                headers={"Idempotency-Key": f"{time.monotonic_ns()}"},
            )
        except httpx.TransportError:
            return False
        return read.is_success and not read.json().get("stale") and held.status_code in enough

    with here.client() as client:
        return here.await_true(lambda: sells(client), CALM_S)


def promises(configuration: Configuration) -> str:
    """Say `kept`, or what was not."""
    return "; ".join(session(Path(configuration["root"])).judge()) or "kept"


def settles(
    levels: list[str], stale: bool, within_s: float, hold_s: float, configuration: Configuration
) -> str:
    """Wait until the level is one of these at every consumer that answers, and stays there.

    Raises:
        NotSeenError: it does not.
    """
    here = session(Path(configuration["root"]))
    wanted = {Level[name] for name in levels}
    began_s = time.monotonic()
    if Level.OPTIMAL in wanted and not stale:
        time.sleep(_notice_s(here))  # what must not change is known only after what would have changed it

    def settled() -> bool:
        return all(_stands(here, consumer, wanted, stale=stale) for consumer in _asked(here))

    allowed_s = within_s + _notice_s(here) + (3 * here.policy.timing.heartbeat_s if stale else 0)
    if not here.await_true(settled, allowed_s):
        raise here.fail(
            f"not {' or '.join(levels)}{' and stale' if stale else ''} within {allowed_s:.1f} s: {_seen(here)}"
        )
    took_s = time.monotonic() - began_s
    here.note("settled", f"{_seen(here)} after {took_s:.1f} s")
    time.sleep(hold_s)
    if not here.await_true(settled, 1.0):
        raise here.fail(f"did not stay at {' or '.join(levels)} for {hold_s:g} s: {_seen(here)}")
    return f"after {took_s:.1f} s"


def features(wanted: dict[str, str], configuration: Configuration) -> dict[str, str]:
    """Wait until flag-service answers so.

    Raises:
        NotSeenError: it does not.
    """
    here = session(Path(configuration["root"]))
    seen: dict[str, str] = {}

    def follow() -> bool:
        try:
            answer = httpx.post(
                f"{here.urls['flag-service']}/ofrep/v1/evaluate/flags",
                json={"context": {}},
                timeout=5,
                trust_env=False,
            )
        except httpx.TransportError:
            return False
        if answer.is_success:
            seen.update(
                {flag["key"]: str(flag.get("variant", "")).upper() for flag in answer.json()["flags"]}
            )
        return all(seen.get(key) == state for key, state in wanted.items())

    if not here.await_true(follow, FEATURES_S):
        wrong = [
            f"{key} is {seen.get(key)}, not {state}"
            for key, state in wanted.items()
            if seen.get(key) != state
        ]
        raise here.fail("; ".join(wrong))
    return {key: seen[key] for key in wanted}


def steady(at_most: int, configuration: Configuration) -> int:
    """Count how often the level changed at a consumer since the first fault.

    Raises:
        NotSeenError: more often than allowed.
    """
    here = session(Path(configuration["root"]))
    most = 0
    for consumer in _asked(here):
        levels = [
            s.level for s in here.record.sights if s.consumer == consumer and s.at_s >= here.record.begun_s()
        ]
        most = max(most, sum(one is not other for one, other in pairwise(levels)))
    if most > at_most:
        raise here.fail(f"the level changed {most} times, allowed are {at_most}")
    return most


def _notice_s(here: Session) -> float:
    """Return how long the policy in force needs to notice a fault and decide."""
    slowest_s = max(each.interval_s + each.deadline_s for each in here.policy.dependencies.values())
    return MISSES * slowest_s + 2 * here.policy.timing.demote_dwell_s


def _asked(here: Session) -> list[str]:
    """Return the consumers that can answer: a service that was broken itself may not."""
    return [consumer for consumer in CONSUMERS if consumer not in here.record.faulted]


def _stands(here: Session, consumer: str, wanted: set[Level], *, stale: bool) -> bool:
    sight = here.record.last(consumer)
    if sight is None or here.watch is None or here.watch.now_s - sight.at_s >= 1:
        return False
    if sight.at_s < here.record.broken_s():
        return False  # it tells of the time before, and what was repeated has the same level again
    if f"kafka:{consumer}" in here.record.faulted:
        return sight.stale  # cut from Kafka it cannot know the level; it must know that
    return sight.level in wanted and sight.stale is stale


def _seen(here: Session) -> str:
    told = []
    for consumer in CONSUMERS:
        sight = here.record.last(consumer)
        told.append(
            f"{consumer} {sight.level.name}{' stale' if sight.stale else ''}"
            if sight
            else f"{consumer} silent"
        )
    return ", ".join(told)


def _is_calm(client: httpx.Client, here: Session) -> bool:
    try:
        told = client.get(f"{here.urls['flag-service']}/v1/levels/default").raise_for_status().json()
        header = client.get(f"{here.urls['inventory-api']}/v1/system/degradation").headers["Resilience-Level"]
    except (httpx.HTTPError, KeyError, ValueError):
        return False
    name, *parameters = [part.strip() for part in header.split(";")]
    same = any(
        part.startswith("version=")
        and version_of(part.removeprefix("version=").strip('"')) == version_of(told["version"])
        for part in parameters
    )
    return (
        told["rank"] == 0 and not told["stale"] and name == "OPTIMAL" and "stale" not in parameters and same
    )
