"""Writes over HTTP without a network, on memory; `b..` are rows of the field bugs in the research."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from resilience_contracts import Level
from resilience_runtime import ManualClock
from tests.inventory_api.test_http import Bench


@pytest.fixture
def bench() -> Bench:
    return Bench()


class Caller:
    def __init__(self, client: httpx.AsyncClient, clock: ManualClock) -> None:
        self.client = client
        self._clock = clock

    async def post(
        self, path: str, body: object = None, key: str | None = None, **more: str
    ) -> httpx.Response:
        headers = ({"Idempotency-Key": key} if key else {}) | more
        return await self.client.post(f"/v1{path}", json={} if body is None else body, headers=headers)

    async def get(self, path: str, **headers: str) -> httpx.Response:
        await self._clock.sleep(1)  # past the soft age of what is cached
        return await self.client.get(f"/v1{path}", headers=headers)

    async def put(self, path: str, body: object, **headers: str) -> httpx.Response:
        return await self.client.put(f"/v1{path}", json=body, headers=headers)

    async def adjust(
        self, delta: int, sku: str = "TEE", location: str = "shop", **more: object
    ) -> httpx.Response:
        reason = "RECEIPT" if delta > 0 else "SALE"
        return await self.post(
            "/adjustments", {"sku": sku, "location": location, "delta": delta, "reason": reason, **more}
        )

    async def hold(self, *lines: tuple[str, int], **more: object) -> httpx.Response:
        wanted = [line(sku, quantity) for sku, quantity in lines]
        return await self.post("/reservations", {"owner_ref": "cart", "lines": wanted, **more})

    async def level(self, sku: str = "TEE", location: str = "shop") -> dict[str, Any]:
        found: dict[str, Any] = (await self.get(f"/stock/{sku}/locations/{location}")).json()
        return found


def line(sku: str, quantity: int, location: str = "shop") -> dict[str, object]:
    return {"sku": sku, "location": location, "quantity": quantity}


@pytest.fixture
async def api(bench: Bench) -> AsyncIterator[Caller]:
    transport = httpx.ASGITransport(bench.app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
        caller = Caller(client, bench.clock)
        for code in ("shop", "depot"):
            await caller.post("/locations", {"code": code, "name": code})
        for sku in ("TEE", "CAP"):
            await caller.post("/skus", {"sku": sku, "name": sku, "reorder_point": 4})
        await caller.adjust(10)
        yield caller


async def test_a_hold_is_extended_and_never_shortened(api: Caller, bench: Bench) -> None:
    held = await api.hold(("TEE", 3), ttl_s=100)
    where = held.headers["Location"].removeprefix("/v1")

    longer = await api.post(f"{where}/extend", {"ttl_s": 300})
    shorter = await api.post(f"{where}/extend", {"ttl_s": 10})
    await bench.clock.sleep(301)
    late = await api.post(f"{where}/extend", {"ttl_s": 300})

    assert longer.json()["expires_at"] == shorter.json()["expires_at"] > held.json()["expires_at"]
    assert (late.status_code, late.json()["code"]) == (409, "reservation_expired")
    assert (await api.hold(("TEE", 10))).status_code == 201


async def test_a_closed_hold_is_not_extended_b27(api: Caller) -> None:
    where = (await api.hold(("TEE", 3))).headers["Location"].removeprefix("/v1")
    await api.post(f"{where}/release")

    refused = await api.post(f"{where}/extend")

    assert (refused.status_code, refused.json()["code"]) == (409, "reservation_closed")
    assert (await api.level())["reserved"] == 0


async def test_lines_of_the_same_sku_are_summed_b1_b8_b30(api: Caller) -> None:
    refused = await api.hold(("TEE", 6), ("TEE", 5))

    assert refused.status_code == 409
    assert refused.json()["lines"][0]["requested"] == 11
    assert (await api.hold(("TEE", 6), ("TEE", 4))).json()["lines"][0]["held"] == 10


async def test_what_is_left_of_a_part_is_released_b16(api: Caller) -> None:
    await api.adjust(90)
    where = (await api.hold(("TEE", 10))).headers["Location"].removeprefix("/v1")

    assert (await api.post(f"{where}/confirm", {"lines": [line("TEE", 7)]})).json()["state"] == "PARTIAL"
    released = await api.post(f"{where}/release")

    assert released.json()["state"] == "CONFIRMED"
    assert (
        released.json()["lines"][0] | {"held": 0, "confirmed": 7, "released": 3}
        == released.json()["lines"][0]
    )
    assert (await api.level())["available"] == 93


async def test_a_shortage_at_one_place_takes_nothing_from_another_b11(api: Caller) -> None:
    tag = (await api.get("/stock/TEE/locations/shop")).headers["ETag"]
    await api.put("/stock/TEE/locations/shop", {"safety_stock": 50, "reorder_point": 0}, **{"If-Match": tag})
    await api.adjust(3, location="depot")

    assert (await api.get("/stock/TEE")).json()["available"] == 3


async def test_a_count_sets_what_is_on_hand(api: Caller) -> None:
    counted = await api.post("/counts", {"sku": "TEE", "location": "shop", "counted": 7})
    right = await api.post("/counts", {"sku": "TEE", "location": "shop", "counted": 7})

    assert counted.status_code == right.status_code == 201
    entry = counted.json()["entry"]
    assert (entry["reason"], entry["delta"], right.json()["entry"]) == ("COUNT", -3, None)
    await api.hold(("TEE", 5))
    refused = await api.post("/counts", {"sku": "TEE", "location": "shop", "counted": 4})
    assert (refused.status_code, refused.json()["code"]) == (409, "insufficient_stock")
    negative = await api.post("/counts", {"sku": "TEE", "location": "shop", "counted": -1})
    assert negative.status_code == 422


async def test_a_count_compares_and_sets_under_if_match(api: Caller) -> None:
    body = {"sku": "TEE", "location": "shop", "counted": 7}
    tag = (await api.get("/stock/TEE/locations/shop")).headers["ETag"]
    await api.adjust(1)

    assert (await api.post("/counts", body, **{"If-Match": tag})).status_code == 412
    assert (await api.post("/counts", body, **{"If-Match": "nonsense"})).status_code == 412
    newer = (await api.get("/stock/TEE/locations/shop")).headers["ETag"]
    assert (await api.post("/counts", body, **{"If-Match": newer})).status_code == 201


async def test_counts_wait_while_the_database_is_away_but_no_compare_and_set(
    api: Caller, bench: Bench
) -> None:
    bench.store.up = False
    body = {"sku": "TEE", "location": "shop", "counted": 7}

    accepted = await api.post("/counts", body, "k1")
    again = await api.post("/counts", body, "k1")
    refused = await api.post("/counts", body, **{"If-Match": '"1"'})

    assert (accepted.status_code, accepted.json()["status"]) == (202, "accepted")
    assert again.headers["Location"] == accepted.headers["Location"]
    assert (await api.post("/counts", body | {"counted": 8}, "k1")).status_code == 422
    assert (refused.status_code, refused.json()["code"]) == (503, "feature_disabled")
    assert int(refused.headers["Retry-After"]) >= 1


@pytest.mark.parametrize(
    "path",
    [
        "/transfers",
        "/returns",
        "/adjustments:batch",
        "/reservations",
        "/reservations/x/confirm",
        "/reservations/x/release",
        "/reservations/x/extend",
        "/transfers/x/ship",
    ],
)
async def test_what_needs_the_authority_is_refused_while_it_is_away(
    api: Caller, bench: Bench, path: str
) -> None:
    bench.store.up = False
    bodies: dict[str, object] = {
        "/transfers": {"source": "shop", "destination": "depot", "lines": [{"sku": "TEE", "quantity": 1}]},
        "/returns": {"reference": "r", "lines": [line("TEE", 1)]},
        "/adjustments:batch": {
            "items": [{"sku": "TEE", "location": "shop", "delta": 1, "reason": "RECEIPT"}]
        },
        "/reservations": {"owner_ref": "cart", "lines": [line("TEE", 1)]},
    }

    refused = await api.post(path, bodies.get(path), key := uuid.uuid4().hex)
    bench.store.up = True
    repeated = await api.post(path, bodies.get(path), key)

    assert refused.status_code == 503
    assert int(refused.headers["Retry-After"]) >= 1
    assert repeated.status_code != 503, "a 503 is never kept"


async def test_a_transfer_goes_its_way(api: Caller) -> None:
    body = {"source": "shop", "destination": "depot", "lines": [{"sku": "TEE", "quantity": 6}]}
    planned = await api.post("/transfers", body)
    where = planned.headers["Location"].removeprefix("/v1")
    assert (planned.status_code, planned.json()["state"]) == (201, "DRAFT")

    assert (await api.post(f"{where}/ship")).json()["lines"][0]["in_transit"] == 6
    assert (await api.level())["on_hand"] == 4
    assert (await api.level(location="depot"))["incoming"] == 6
    part = await api.post(f"{where}/receive", {"lines": [{"sku": "TEE", "quantity": 4}]})
    assert (part.json()["state"], (await api.level(location="depot"))["on_hand"]) == ("SHIPPED", 4)
    assert (await api.post(f"{where}/cancel")).json()["state"] == "CANCELLED"
    assert (await api.level())["on_hand"] == 6
    assert (await api.level(location="depot"))["incoming"] == 0
    assert (await api.post(f"{where}/cancel")).status_code == 200
    assert (await api.post(f"{where}/ship")).json()["code"] == "transfer_closed"
    assert (await api.get(where)).json()["lines"][0]["returned"] == 2


async def test_transfers_without_stock_to_itself_and_twice_b25(api: Caller) -> None:
    body = {
        "source": "shop",
        "destination": "depot",
        "at_once": True,
        "lines": [{"sku": "CAP", "quantity": 5}],
    }

    without = await api.post("/transfers", body)
    itself = await api.post("/transfers", body | {"destination": "shop"})
    tees = body | {"lines": [{"sku": "TEE", "quantity": 5}]}
    twice = [await api.post("/transfers", tees, "double-click") for _ in range(2)]

    assert (without.status_code, without.json()["lines"][0]["available"]) == (409, 0)
    assert itself.status_code == 422
    assert twice[0].json() == twice[1].json()
    assert ((await api.level())["on_hand"], (await api.level(location="depot"))["on_hand"]) == (5, 5)


async def test_held_stock_is_not_shipped(api: Caller) -> None:
    await api.hold(("TEE", 8))
    body = {"source": "shop", "destination": "depot", "lines": [{"sku": "TEE", "quantity": 3}]}
    where = (await api.post("/transfers", body)).headers["Location"].removeprefix("/v1")

    refused = await api.post(f"{where}/ship")

    assert (refused.status_code, refused.json()["lines"][0]["available"]) == (409, 2)
    assert (await api.get(where)).json()["state"] == "DRAFT"


async def test_a_return_restores_what_was_sold_once(api: Caller) -> None:
    await api.adjust(-4, reference="till-1")

    back = await api.post("/returns", {"reference": "till-1", "lines": [line("TEE", 3)]})
    more = await api.post("/returns", {"reference": "till-1", "lines": [line("TEE", 2)]})
    other = await api.post("/returns", {"reference": "till-2", "lines": [line("TEE", 1)]})
    both = await api.post("/returns", {"reference": "a", "reservation_id": "b", "lines": [line("TEE", 1)]})

    assert (back.status_code, back.json()["items"][0]["entry"]["reason"]) == (201, "RETURN")
    assert {more.json()["code"], other.json()["code"]} == {"not_sold"}
    assert both.status_code == 422
    assert (await api.level())["on_hand"] == 9


async def test_a_return_of_a_reservation(api: Caller) -> None:
    held = await api.hold(("TEE", 3))
    name = held.json()["id"]
    body = {"reservation_id": name, "lines": [line("TEE", 1)]}
    assert (await api.post("/returns", body)).json()["code"] == "not_sold"
    await api.post(f"/reservations/{name}/confirm", {"lines": [line("TEE", 2)]})

    results = [(await api.post("/returns", body)).status_code for _ in range(3)]

    assert results == [201, 201, 409]
    assert (await api.post("/returns", body | {"reservation_id": str(uuid.uuid4())})).status_code == 404


async def test_a_batch_is_whole_or_each_row_for_itself(api: Caller) -> None:
    items = [
        {"sku": "TEE", "location": "shop", "delta": 5, "reason": "RECEIPT"},
        {"sku": "TEE", "location": "shop", "delta": -50, "reason": "SALE"},
        {"sku": "NONE", "location": "shop", "delta": 1, "reason": "RECEIPT"},
    ]

    whole = await api.post("/adjustments:batch", {"items": items})
    assert (whole.status_code, whole.json()["row"], whole.json()["cause"]) == (409, 2, "insufficient_stock")
    assert (await api.level())["on_hand"] == 10
    each = await api.post("/adjustments:batch", {"mode": "best_effort", "items": items}, "k")
    assert (each.status_code, each.json()["applied"], each.json()["failed"]) == (200, 1, 2)
    assert [row["code"] for row in each.json()["items"]] == [None, "insufficient_stock", "sku_not_found"]
    assert (
        await api.post("/adjustments:batch", {"mode": "best_effort", "items": items}, "k")
    ).text == each.text
    assert (await api.level())["on_hand"] == 15


async def test_a_batch_is_short_while_the_level_is_limited(api: Caller, bench: Bench) -> None:
    bench.set_level(Level.LIMITED)
    item = {"sku": "TEE", "location": "shop", "delta": 1, "reason": "RECEIPT"}

    refused = await api.post("/adjustments:batch", {"items": [item] * 101})

    assert (refused.status_code, refused.json()["feature"]) == (503, "inventory.bulk_operations")
    assert (await api.post("/adjustments:batch", {"items": [item] * 100})).status_code == 200


async def test_thresholds_need_the_version_they_were_decided_on(api: Caller) -> None:
    path, body = "/stock/TEE/locations/shop", {"safety_stock": 1, "reorder_point": 9}
    seen = await api.get(path)
    tag = seen.headers["ETag"]

    assert (await api.get(path, **{"If-None-Match": tag})).status_code == 304
    assert (await api.put(path, body)).status_code == 428
    written = await api.put(path, body, **{"If-Match": tag})
    assert (written.status_code, written.json()["available"], written.json()["status"]) == (200, 9, "LOW")
    assert (await api.put(path, body, **{"If-Match": tag})).status_code == 412
    assert (await api.put(path, body, **{"If-Match": written.headers["ETag"]})).status_code == 200
    assert (await api.put("/stock/NONE/locations/shop", body, **{"If-Match": "*"})).status_code == 404
    assert (await api.get("/stock/TEE/locations/depot")).status_code == 404


async def test_low_levels_are_listed(api: Caller) -> None:
    assert (await api.get("/alerts/low-stock")).json()["items"] == []
    await api.adjust(-6)
    await api.adjust(1, sku="CAP")

    first = (await api.get("/alerts/low-stock?limit=1")).json()
    second = (await api.get(f"/alerts/low-stock?limit=1&cursor={first['next_cursor']}")).json()

    assert [(item["sku"], item["available"]) for item in (*first["items"], *second["items"])] == [
        ("TEE", 4),
        ("CAP", 1),
    ]
    assert second["next_cursor"] is None


async def test_a_backorder_flag_is_derived_and_never_imported_b32(api: Caller) -> None:
    await api.post("/counts", {"sku": "TEE", "location": "shop", "counted": 0})

    assert (await api.level())["status"] == "OUT"
    assert (await api.adjust(5)).json()["level"]["status"] == "IN"


async def test_quantities_that_are_none_b24(api: Caller) -> None:
    for quantity in (-5, 1.5, 2**31, "5", True, None):
        tee: dict[str, object] = {"sku": "TEE", "location": "shop"}
        own = tee | {"quantity": quantity}
        moved = [{"sku": "TEE", "quantity": quantity}]
        bodies: dict[str, object] = {
            "/transfers": {"source": "shop", "destination": "depot", "lines": moved},
            "/returns": {"reference": "r", "lines": [own]},
            "/counts": tee | {"counted": quantity},
            "/adjustments:batch": {"items": [tee | {"delta": quantity, "reason": "RECEIPT"}]},
            "/reservations": {"owner_ref": "cart", "lines": [own]},
        }
        for path, body in bodies.items():
            refused = await api.post(path, body)
            assert refused.status_code == 422, (path, quantity)
            assert refused.headers["content-type"] == "application/problem+json"
    assert (await api.level())["on_hand"] == 10


async def test_returns_and_counts_are_not_stated_as_adjustments(api: Caller) -> None:
    for reason in ("RETURN", "COUNT", "TRANSFER_IN"):
        body = {"sku": "TEE", "location": "shop", "delta": 1, "reason": reason}
        assert (await api.post("/adjustments", body)).status_code == 422
