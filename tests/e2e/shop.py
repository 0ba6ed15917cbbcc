"""The running system as its users see it: a storefront, an operator and an integrator over HTTP."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import httpx

from resilience_contracts import FeatureState, Level

T = TypeVar("T")
SKU = "E2E-TEE"
LOCATION = "e2e"
STOCK = 1_000
PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c489"
    "0000000d49444154789c6360000002000001e221bc330000000049454e44ae426082"
)


def until(what: str, look: Callable[[], T | None], timeout_s: float = 30) -> T:
    """Look again and again until there is something to see."""
    end = time.monotonic() + timeout_s
    last: object = None
    while time.monotonic() < end:
        try:
            seen = look()
        except httpx.HTTPError as error:
            seen, last = None, repr(error)
        if seen is not None and seen is not False:
            return seen
        time.sleep(0.05)
    raise AssertionError(f"not within {timeout_s:g} s: {what} (last error: {last})")


def _version(text: str) -> tuple[int, int]:
    epoch, counter = text.split(".")
    return int(epoch), int(counter)


@dataclass(frozen=True, slots=True)
class Seen:
    """A level as one consumer tells it."""

    level: Level
    version: tuple[int, int]
    stale: bool


class Shop:
    """Talks to inventory-api and flag-service; each call is bounded."""

    def __init__(self, inventory_url: str, flags_url: str, operator_key: str) -> None:
        self.inventory = httpx.Client(base_url=inventory_url, timeout=12)  # the assistant may take 10 s
        self.flags = httpx.Client(base_url=flags_url, timeout=5, headers={"X-API-Key": operator_key})
        self.held = ""  # a reservation that `behaviour` makes and settles

    def close(self) -> None:
        self.inventory.close()
        self.flags.close()

    def level_at_inventory(self) -> Seen | None:
        """Read the header that every answer carries."""
        header = self.inventory.get("/v1/system/degradation").raise_for_status().headers["Resilience-Level"]
        name, *parameters = [part.strip() for part in header.split(";")]
        if name == "UNKNOWN":
            return None
        version = next(p for p in parameters if p.startswith("version=")).removeprefix("version=").strip('"')
        return Seen(Level[name], _version(version), "stale" in parameters)

    def level_at_flags(self) -> Seen:
        body = self.flags.get("/v1/levels/default").raise_for_status().json()
        return Seen(Level(body["rank"]), _version(body["version"]), body["stale"])

    def features_at_flags(self) -> dict[str, FeatureState]:
        """Evaluate every feature over OFREP, as an OpenFeature client would."""
        answer = self.flags.post("/ofrep/v1/evaluate/flags", json={"context": {}}).raise_for_status()
        return {
            flag["key"]: FeatureState(flag["variant"].upper())
            for flag in answer.json()["flags"]
            if isinstance(flag.get("value"), bool)
        }

    def hold(self, target: str, state: str) -> None:
        """Hold a feature for an hour."""
        body = {"state": state, "reason": "end-to-end test of holds"}
        self.flags.put(f"/v1/holds/default/{target}", json=body).raise_for_status()

    def hold_level(self, level: Level) -> None:
        """Hold the level for an hour."""
        body = {"level": level.name, "reason": "end-to-end test of levels"}
        self.flags.put("/v1/holds/default/level", json=body).raise_for_status()

    def end_hold(self, target: str) -> None:
        """Give a feature back to automation."""
        self.flags.delete(f"/v1/holds/default/{target}").raise_for_status()

    def seed(self) -> None:
        """Create what the tests sell; done before is done."""
        self._create("/v1/locations", {"code": LOCATION, "name": "End to end", "type": "store"})
        self._create("/v1/skus", {"sku": SKU, "name": "Tee"})
        self._create(
            "/v1/adjustments",
            {"sku": SKU, "location": LOCATION, "delta": STOCK, "reason": "RECEIPT"},
            key=f"seed-{LOCATION}",
        )

    def _create(self, path: str, body: dict[str, Any], key: str | None = None) -> None:
        # A fresh stack is ready before its schema is, and may still defer a receipt.
        until(f"POST {path}", lambda: self.post(path, body, key).status_code in {200, 201, 202, 409})

    def post(self, path: str, body: dict[str, Any], key: str | None = None) -> httpx.Response:
        return self.inventory.post(path, json=body, headers={"Idempotency-Key": key or uuid.uuid4().hex})

    def availability(self) -> httpx.Response:
        return self.inventory.post("/v1/availability:batch", json={"skus": [SKU]})

    def reserve(self) -> httpx.Response:
        lines = [{"sku": SKU, "location": LOCATION, "quantity": 1}]
        return self.post("/v1/reservations", {"owner_ref": uuid.uuid4().hex, "lines": lines})

    def receive(self, quantity: int = 1) -> httpx.Response:
        body = {"sku": SKU, "location": LOCATION, "delta": quantity, "reason": "RECEIPT"}
        return self.post("/v1/adjustments", body)

    def ask(self) -> httpx.Response:
        return self.post("/v1/assistant", {"question": "What is running low?"})

    def put_image(self) -> httpx.Response:
        return self.inventory.put(f"/v1/skus/{SKU}/image", content=PNG, headers={"content-type": "image/png"})

    def on_hand(self) -> int:
        answer = self.inventory.get(f"/v1/stock/{SKU}")
        return sum(level["on_hand"] for level in answer.json()["locations"])
