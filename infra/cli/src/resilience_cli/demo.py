"""Demo data: a small shop, created over inventory-api's own HTTP interface. Done before is done."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Any
from uuid import uuid4

import httpx

from .errors import StackError

PATIENCE_S = 20

LOCATIONS = (
    ("berlin", "Berlin, Alexanderplatz", "store"),
    ("hamburg", "Hamburg, Mönckebergstraße", "store"),
    ("central", "Central warehouse", "warehouse"),
)
# At or under this a level of stock is shown as LOW.
REORDER_POINT = 5
# SKU, name, category, stock at each of the locations above.
SKUS = (
    ("TEE-BLACK-S", "T-shirt, black, S", "apparel", (12, 8, 140)),
    ("TEE-BLACK-M", "T-shirt, black, M", "apparel", (25, 14, 260)),
    ("TEE-BLACK-L", "T-shirt, black, L", "apparel", (18, 3, 180)),
    ("HOODIE-GREY-M", "Hoodie, grey, M", "apparel", (6, 2, 45)),
    ("MUG-WHITE", "Mug, white", "home", (40, 31, 500)),
    ("LAMP-DESK", "Desk lamp", "home", (2, 0, 24)),
    ("PUZZLE-1000", "Puzzle, 1000 pieces", "toys", (9, 11, 80)),
    ("BALL-BLUE", "Ball, blue", "toys", (0, 1, 4)),
)


def seed(base_url: str) -> None:
    """Create locations, SKUs and their first stock; what is there already is left as it is.

    Raises:
        StackError: inventory-api refuses some of it or does not answer.
    """
    with httpx.Client(base_url=base_url, timeout=10, trust_env=False) as shop:
        for code, name, kind in LOCATIONS:
            _post(shop, "/v1/locations", {"code": code, "name": name, "type": kind}, f"demo-{uuid4()}")
        for sku, name, category, _ in SKUS:
            body = {"sku": sku, "name": name, "category": category, "reorder_point": REORDER_POINT}
            _post(shop, "/v1/skus", body, f"demo-{uuid4()}")
        for sku, _, _, stock in SKUS:
            for (code, _, _), quantity in zip(LOCATIONS, stock, strict=True):
                if quantity:
                    _receive(shop, sku, code, quantity)


def await_level(flags_url: str, timeout_s: float = 15) -> None:
    """Wait until a first level is known.

    Raises:
        StackError: none comes.
    """
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        with suppress(httpx.HTTPError, ValueError):
            if httpx.get(f"{flags_url}/v1/levels", timeout=2, trust_env=False).json()["levels"]:
                return
        time.sleep(0.1)
    raise StackError(
        f"no level is known after {timeout_s:g} s", "read the logs of health-monitor and degradation-engine"
    )


def _receive(shop: httpx.Client, sku: str, location: str, quantity: int) -> None:
    body = {"sku": sku, "location": location, "delta": quantity, "reason": "RECEIPT"}
    _post(shop, "/v1/adjustments", body, f"demo-stock-{sku}-{location}")


def _post(shop: httpx.Client, path: str, body: dict[str, Any], key: str) -> None:
    answer = _accepted(shop, path, body, key)
    if not answer.is_success and answer.status_code != httpx.codes.CONFLICT:
        raise StackError(
            f"demo data stopped at {path} (HTTP {answer.status_code}: {answer.text[:200]})",
            "read the log of inventory-api",
        )


def _accepted(shop: httpx.Client, path: str, body: dict[str, Any], key: str) -> httpx.Response:
    """Send a request until it is not told to come back: a new database is being prepared meanwhile."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            answer = shop.post(path, json=body, headers={"Idempotency-Key": key})
        except httpx.HTTPError as error:
            raise StackError(
                f"demo data stopped at {path} ({type(error).__name__})", "run `resilience up` again"
            ) from error
        if answer.status_code != httpx.codes.SERVICE_UNAVAILABLE or time.monotonic() > deadline:
            return answer
        time.sleep(0.3)
