"""Proof that the running system works: each check does what a user does and looks at the answer."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import httpx

from resilience_contracts import FeatureState, Level

SKU = "SMOKE-TEST"
LOCATION = "smoke"
FEATURE = "inventory.availability"
TIMEOUT_S = 10.0


class CheckFailedError(Exception):
    """A check saw something else than it should; the message says what."""


@dataclass(frozen=True, slots=True)
class Result:
    """How a check ended. `detail` says what was seen."""

    name: str
    passed: bool
    detail: str
    took_s: float


class Smoke:
    """The checks, in the order in which one builds on another."""

    def __init__(self, inventory_url: str, flags_url: str, scope: str, key: str | None = None) -> None:
        headers = {"X-API-Key": key} if key else {}
        self._shop = httpx.Client(base_url=inventory_url, timeout=TIMEOUT_S, trust_env=False, headers=headers)
        self._flags = httpx.Client(base_url=flags_url, timeout=TIMEOUT_S, trust_env=False, headers=headers)
        self._scope = scope

    def run(self) -> Iterator[Result]:
        """Do every check; give each result as soon as it is there."""
        checks: dict[str, Callable[[], str]] = {
            "catalogue: a SKU and a location can be created": self._create,
            "adjust: stock can be received": self._adjust,
            "availability: it can be read": self._availability,
            "hold: stock can be reserved and released": self._hold,
            "level feed: both consumers know the same level": self._level,
            "flags: a feature is evaluated over OFREP": self._evaluate,
        }
        with self._shop, self._flags:
            for name, check in checks.items():
                yield _do(name, check)

    def _create(self) -> str:
        location = {"code": LOCATION, "name": "Smoke test", "type": "virtual"}
        for path, body in (("/v1/locations", location), ("/v1/skus", {"sku": SKU, "name": "Smoke test"})):
            answer = self._post(path, body)
            _expect(answer, {200, 201, 409})
        return f"{SKU} at {LOCATION}"

    def _adjust(self) -> str:
        body = {"sku": SKU, "location": LOCATION, "delta": 5, "reason": "RECEIPT"}
        answer = _expect(self._post("/v1/adjustments", body), {200, 201, 202})
        waits = answer.status_code == httpx.codes.ACCEPTED
        return "accepted for later: PostgreSQL is away" if waits else "applied"

    def _availability(self) -> str:
        answer = _expect(self._post("/v1/availability:batch", {"skus": [SKU]}), {200})
        if SKU not in answer.text:
            raise CheckFailedError(f"{SKU} is not in the answer: {answer.text[:200]}")
        return str(answer.headers.get("Resilience-Level", "no Resilience-Level header"))

    def _hold(self) -> str:
        lines = [{"sku": SKU, "location": LOCATION, "quantity": 1}]
        answer = _expect(self._post("/v1/reservations", {"owner_ref": "smoke", "lines": lines}), {201})
        released = _expect(self._post(f"{answer.headers['Location']}/release", {}), {200, 204})
        return f"released with HTTP {released.status_code}"

    def _level(self) -> str:
        told = _expect(self._flags.get(f"/v1/levels/{self._scope}"), {200}).json()
        header = self._shop.get("/v1/system/degradation").headers.get("Resilience-Level", "")
        name = str(Level.from_rank(told["rank"]).name)
        if header.partition(";")[0] != name:
            raise CheckFailedError(f"flag-service says {name}, inventory-api says {header or 'nothing'}")
        if told.get("stale"):
            raise CheckFailedError(f"{name} is stale: degradation-engine is silent")
        return name

    def _evaluate(self) -> str:
        answer = self._flags.post(f"/ofrep/v1/evaluate/flags/{FEATURE}", json={"context": {}})
        body = _expect(answer, {200}).json()
        variant = str(body.get("variant"))
        if variant.upper() not in FeatureState.__members__ or not isinstance(body.get("value"), bool):
            raise CheckFailedError(f"not an evaluation: {answer.text[:200]}")
        return f"{FEATURE} is {variant} because {body.get('metadata', {}).get('because')}"

    def _post(self, path: str, body: dict[str, Any]) -> httpx.Response:
        return self._shop.post(path, json=body, headers={"Idempotency-Key": f"smoke-{uuid.uuid4().hex}"})


def _do(name: str, check: Callable[[], str]) -> Result:
    began = time.monotonic()
    try:
        detail, passed = check(), True
    except CheckFailedError as error:
        detail, passed = str(error), False
    except (httpx.HTTPError, KeyError, ValueError) as error:
        detail, passed = f"{type(error).__name__}: {error}", False
    return Result(name, passed, detail, time.monotonic() - began)


def _expect(answer: httpx.Response, allowed: set[int]) -> httpx.Response:
    if answer.status_code not in allowed:
        request = answer.request
        raise CheckFailedError(
            f"{request.method} {request.url} gave {answer.status_code}: {answer.text[:200]}"
        )
    return answer
