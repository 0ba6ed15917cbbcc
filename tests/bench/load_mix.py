"""What a shop asks for: 80 of 100 requests look at stock, 12 hold, 5 confirm what was held, 3 are the back office's."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable
from itertools import pairwise

import httpx

from resilience_chaos.shop import PNG
from tests.bench.inventory_client import MADE, Kind, request

LOCATIONS, ON_HAND = ("shop", "depot"), 100_000_000
PATIENCE_S = 60.0
DONE = {httpx.codes.OK, httpx.codes.CREATED, httpx.codes.NO_CONTENT, httpx.codes.CONFLICT}
LATER = {httpx.codes.ACCEPTED, httpx.codes.SERVICE_UNAVAILABLE}


def names(skus: int) -> tuple[str, ...]:
    """Name so many SKUs."""
    return tuple(f"LOAD-{number:03}" for number in range(skus))


def kinds(skus: int) -> tuple[Kind, ...]:
    """Give what is asked of so many SKUs; the first kind takes the turns for which nothing was held."""
    goods = names(skus)
    question = {"question": "Enough?", "skus": goods[:1]}
    return (
        Kind("stock of one", 0.60, tuple(request("GET", f"/v1/stock/{sku}") for sku in goods)),
        Kind(
            "availability",
            0.20,
            tuple(_posted("/v1/availability:batch", {"skus": two}) for two in pairwise(goods)),
        ),
        Kind("hold", 0.12, tuple(_held(sku, place) for sku in goods for place in LOCATIONS)),
        Kind("confirm", 0.05, (request("POST", f"{MADE}/confirm"),), of="hold"),
        Kind("receive", 0.012, tuple(map(_received, goods))),
        Kind(
            "list", 0.01, tuple(request("GET", f"/v1/stock?location={place}&limit=50") for place in LOCATIONS)
        ),
        Kind("dashboard", 0.004, (request("GET", "/v1/dashboard"),)),
        Kind("image", 0.002, (request("GET", f"/v1/skus/{goods[0]}/image"),)),
        Kind("assistant", 0.002, (_posted("/v1/assistant", question),)),
    )


def _posted(path: str, body: object) -> bytes:
    return request("POST", path, json.dumps(body).encode())


def _held(sku: str, place: str) -> bytes:
    line = {"sku": sku, "location": place, "quantity": 1}
    return _posted("/v1/reservations", {"owner_ref": "cart", "lines": [line]})


def _received(sku: str) -> bytes:
    body = {"sku": sku, "location": LOCATIONS[0], "delta": 1, "reason": "RECEIPT"}
    return _posted("/v1/adjustments", body)


def fill(url: str, skus: int, *, image: bool = True) -> bytes:
    """Put goods on the shelves, and a picture of one; return how that one is answered."""
    goods = names(skus)
    with httpx.Client(base_url=url, trust_env=False, timeout=PATIENCE_S) as api:
        for code in LOCATIONS:
            _made(api, "/v1/locations", {"code": code, "name": code})
        for sku in goods:
            _made(api, "/v1/skus", {"sku": sku, "name": sku})
            for code in LOCATIONS:
                body = {"sku": sku, "location": code, "delta": ON_HAND, "reason": "RECEIPT"}
                _made(api, "/v1/adjustments", body)
        if image:
            headers = {"content-type": "image/png"}
            _done(api, lambda: api.put(f"/v1/skus/{goods[0]}/image", content=PNG, headers=headers))
        return _done(api, lambda: api.get(f"/v1/stock/{goods[0]}")).content


def _made(api: httpx.Client, path: str, body: dict[str, object]) -> None:
    key = uuid.uuid4().hex
    _done(api, lambda: api.post(path, json=body, headers={"Idempotency-Key": key}))


def _done(api: httpx.Client, ask: Callable[[], httpx.Response]) -> httpx.Response:
    """Ask until it is done: a busy machine may look like an outage for a moment."""
    end_s = time.monotonic() + PATIENCE_S
    while True:
        answer = ask()
        if answer.status_code in DONE or (
            answer.status_code == httpx.codes.ACCEPTED and _applied(api, answer)
        ):
            return answer
        if answer.status_code not in LATER or time.monotonic() > end_s:
            raise RuntimeError(f"{answer.url} {answer.status_code}: {answer.text[:300]}")
        time.sleep(0.2)


def _applied(api: httpx.Client, accepted: httpx.Response) -> bool:
    return bool(api.get(accepted.headers["Location"]).json()["status"] == "applied")
