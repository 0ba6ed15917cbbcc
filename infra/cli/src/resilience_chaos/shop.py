"""A shop's calls: goods of its own for one experiment, and what is asked of them."""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass
from typing import Any

import httpx

LOCATION = "chaos"
UNITS = 8
"""So few that more is asked for than there is."""
PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c489"
    "0000000d49444154789c6360000002000001e221bc330000000049454e44ae426082"
)
PACE_S = {"live": 0.2, "availability": 0.2, "reserve": 0.5, "receive": 0.5, "image": 1.0, "assistant": 1.5}
"""How often each call is made."""
SEED_S = 30.0
POLL_S = 0.1


@dataclass(frozen=True, slots=True)
class Goods:
    """What one experiment sells: a SKU that is received, and one that is scarce."""

    plenty: str
    scarce: str

    @classmethod
    def new(cls) -> Goods:
        """Choose names that no other experiment has."""
        token = uuid.uuid4().hex[:10].upper()
        return cls(f"CHAOS-{token}-A", f"CHAOS-{token}-B")

    def request(self, kind: str, key: str) -> tuple[str, str, dict[str, Any]]:
        """Return method, path and the other arguments of a call."""
        headers = {"Idempotency-Key": key}
        if kind == "live":
            return "GET", "/health/live", {}
        if kind == "availability":
            return "POST", "/v1/availability:batch", {"json": {"skus": [self.plenty, self.scarce]}}
        if kind == "image":
            return "GET", f"/v1/skus/{self.plenty}/image", {}
        if kind == "assistant":
            asked = {"question": "What is running low?", "skus": [self.plenty]}
            return "POST", "/v1/assistant", {"json": asked, "headers": headers}
        if kind == "reserve":
            lines = [{"sku": self.scarce, "location": LOCATION, "quantity": 1}]
            return (
                "POST",
                "/v1/reservations",
                {"json": {"owner_ref": key, "lines": lines}, "headers": headers},
            )
        body = {"sku": self.plenty, "location": LOCATION, "delta": 1, "reason": "RECEIPT"}
        return "POST", "/v1/adjustments", {"json": body, "headers": headers}

    def seed(self, client: httpx.Client) -> None:
        """Create them, with their units and a picture.

        Raises:
            httpx.HTTPError: it could not be done.
        """
        _create(client, "/v1/locations", {"code": LOCATION, "name": "Chaos", "type": "store"})
        for sku in (self.plenty, self.scarce):
            _create(client, "/v1/skus", {"sku": sku, "name": "Chaos"})
        stock = {"sku": self.scarce, "location": LOCATION, "delta": UNITS, "reason": "RECEIPT"}
        _create(client, "/v1/adjustments", stock)
        image = {"content-type": "image/png"}
        client.put(f"/v1/skus/{self.plenty}/image", content=PNG, headers=image)
        for kind in PACE_S:
            if kind != "reserve":
                method, path, rest = self.request(kind, f"{self.plenty}-{kind}")
                client.request(method, path, **rest)

    def counted(self, client: httpx.Client) -> dict[str, int]:
        """Count what is there.

        Raises:
            httpx.HTTPError: no answer.
            ValueError: none that counts.
        """
        received = _level(client, self.plenty)["on_hand"]
        scarce = _level(client, self.scarce)
        # One unit of the first was received while the goods were made.
        return {"received": received - 1, "units": scarce["on_hand"], "reserved": scarce["reserved"]}


def _level(client: httpx.Client, sku: str) -> dict[str, int]:
    answer = client.get(f"/v1/stock/{sku}").raise_for_status().json()
    levels = [level for level in answer["locations"] if level["location"] == LOCATION]
    if levels and levels[0].get("on_hand") is None:
        raise ValueError("the last known figures, which do not count")
    return dict(levels[0]) if levels else {"on_hand": 0, "reserved": 0}


def _create(client: httpx.Client, path: str, body: dict[str, Any]) -> None:
    end, key = time.monotonic() + SEED_S, uuid.uuid4().hex
    while True:
        answer = client.post(path, json=body, headers={"Idempotency-Key": key})
        if answer.status_code in {httpx.codes.OK, httpx.codes.CREATED, httpx.codes.CONFLICT}:
            return
        if time.monotonic() > end:
            answer.raise_for_status()
        time.sleep(POLL_S)
