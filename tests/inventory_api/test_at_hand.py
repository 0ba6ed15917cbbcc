"""Stock that is at hand is answered before routing, exactly as by the route."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import httpx
import pytest

from inventory_api.http.at_hand import StockAtHand
from resilience_contracts import Level
from tests.inventory_api.test_http import Bench

STOCK = "/v1/stock/TEE"


class Shop:
    def __init__(self) -> None:
        self.bench = Bench()
        self.reader = self.bench.app.state.services.stock
        self.routed = httpx.AsyncClient(transport=httpx.ASGITransport(self.bench.app), base_url="http://api")
        quick = StockAtHand(self.bench.app, self.reader)
        self.quick = httpx.AsyncClient(transport=httpx.ASGITransport(quick), base_url="http://api")

    async def open(self) -> None:
        await self.routed.post("/v1/locations", json={"code": "shop", "name": "Shop"})
        await self.routed.post("/v1/skus", json={"sku": "TEE", "name": "T-shirt"})
        await self.receive(7)

    async def receive(self, number: int) -> None:
        body = {"sku": "TEE", "location": "shop", "delta": number, "reason": "RECEIPT"}
        (await self.routed.post("/v1/adjustments", json=body)).raise_for_status()

    @property
    def routed_answers(self) -> int:
        return sum(route == "/v1/stock/{sku}" for _, route, _ in self.bench.observed)


@pytest.fixture
async def shop() -> AsyncIterator[Shop]:
    shop = Shop()
    await shop.open()
    yield shop
    await shop.routed.aclose()
    await shop.quick.aclose()


async def test_it_answers_as_the_route_does_and_spares_the_routing(shop: Shop) -> None:
    by_route = await shop.routed.get(STOCK)
    before = shop.routed_answers

    at_hand = await shop.quick.get(STOCK)
    again = await shop.quick.get(STOCK)

    assert at_hand.status_code == by_route.status_code == 200
    assert at_hand.content == again.content == by_route.content
    assert shop.routed_answers == before
    for name in ("etag", "cache-control", "content-type", "content-length"):
        assert at_hand.headers[name] == by_route.headers[name]


async def test_who_has_it_already_gets_304(shop: Shop) -> None:
    tag = (await shop.routed.get(STOCK)).headers["etag"]

    known = await shop.quick.get(STOCK, headers={"If-None-Match": f'"x", {tag}'})
    other = await shop.quick.get(STOCK, headers={"If-None-Match": '"x"'})

    assert (known.status_code, known.content, known.headers["etag"]) == (304, b"", tag)
    assert other.status_code == 200


async def test_a_change_by_this_process_is_seen_at_once(shop: Shop) -> None:
    await shop.quick.get(STOCK)
    await shop.quick.get(STOCK)

    await shop.bench.clock.advance(0.001)
    await shop.receive(3)
    await shop.bench.clock.advance(0.001)

    assert json.loads((await shop.quick.get(STOCK)).content)["available"] == 10


async def test_what_has_aged_is_fetched_anew_without_routing(shop: Shop) -> None:
    await shop.quick.get(STOCK)
    await shop.receive(3)
    await shop.bench.clock.advance(2)
    before = shop.routed_answers

    answer = await shop.quick.get(STOCK)

    assert (answer.status_code, json.loads(answer.content)["available"]) == (200, 10)
    assert shop.routed_answers == before


async def test_what_cannot_be_fetched_goes_the_whole_way_and_is_labelled_there(shop: Shop) -> None:
    await shop.quick.get(STOCK)
    await shop.bench.clock.advance(2)
    shop.bench.store.up = False

    answer = await shop.quick.get(STOCK)

    assert (answer.status_code, json.loads(answer.content)["stale"], answer.headers["age"]) == (
        200,
        True,
        "2",
    )


async def test_what_is_not_at_hand_or_switched_off_goes_the_whole_way(shop: Shop) -> None:
    assert (await shop.quick.get("/v1/stock/MUG")).status_code == 404
    assert (await shop.quick.get("/v1/stock")).status_code == 404
    assert (await shop.quick.post(STOCK)).status_code == 405
    await shop.quick.get(STOCK)

    shop.bench.set_level(Level.EMERGENCY)
    before = shop.routed_answers
    await shop.quick.get(STOCK)

    assert shop.routed_answers == before + 1
