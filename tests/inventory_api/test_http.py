"""The application over HTTP without a network, on memory."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any

import httpx
import jsonschema
import pytest

from inventory_api.adapters.memory import MemoryStore
from inventory_api.application.assistant import FULL_TOKENS, SHORT_TOKENS, Assistant
from inventory_api.application.commands import Backlog, Commands
from inventory_api.application.errors import UnavailableError
from inventory_api.application.images import Image, Images
from inventory_api.application.stock_reader import StockReader
from inventory_api.application.switches import Switches
from inventory_api.http.app import build
from inventory_api.http.services import Services
from inventory_api.readiness import Startup
from resilience_contracts import Level, View, default_policy
from resilience_runtime import ManualClock, MemoryBus
from tests.contracts.states import level_state
from tests.inventory_api.test_stock_reader import AGES, Shared

NOWHERE = "00000000-0000-4000-8000-000000000000"


@dataclass
class Pictures:
    kept: dict[str, Image] = field(default_factory=dict)

    async def put(self, name: str, content: bytes, media_type: str) -> str:
        self.kept[name] = Image(content, media_type, '"tag"')
        return '"tag"'

    async def get(self, name: str) -> Image | None:
        return self.kept.get(name)


class Mute:
    """A model that never answers, and how it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, bool]] = []

    async def write(self, task: str, text: str, tokens: int, *, sparing: bool = False) -> str:  # noqa: ARG002
        self.asked.append((tokens, sparing))
        raise UnavailableError("openai", "it does not answer")


class Bench:
    def __init__(self) -> None:
        self.clock = ManualClock(jump=True)
        self.store, self.bus = MemoryStore(self.clock), MemoryBus(clock=self.clock)
        self.view, self.model = View(default_policy()), Mute()
        switches = self.switches = Switches(self.view, "default", self.clock, Random(1))
        stock = StockReader(self.store, Shared(), switches, self.clock, AGES)
        services = Services(
            store=self.store,
            stock=stock,
            commands=Commands(self.bus, self.store, self.clock, "/tests", Backlog()),
            images=Images(Pictures(), switches),
            assistant=Assistant(self.model, stock, self.store, switches),
            switches=switches,
            breakers={},
            feed_age_s=lambda: None,
            clock=self.clock,
        )
        self.schema_tried = True
        self.observed: list[tuple[str, str, int]] = []
        self.took_s: list[float] = []
        self.startup = Startup(self.clock, 10, lambda: self.schema_tried)
        self.app = build(
            services,
            self.startup.check,
            self.startup.check,
            self.observe,
        )

    def observe(self, method: str, route: str, status: int, took_s: float) -> None:
        self.observed.append((method, route, status))
        self.took_s.append(took_s)

    def set_level(self, level: Level, scope: str = "default") -> None:
        self.view.apply_level(level_state(level, (7, 42), self.clock.now(), scope=scope))


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.fixture
async def api(bench: Bench) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(bench.app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
        await client.post("/v1/locations", json={"code": "shop", "name": "Shop", "type": "store"})
        await client.post("/v1/skus", json={"sku": "TEE", "name": "Tee", "reorder_point": 2})
        yield client


def adjustment(delta: object = 5, reason: str = "RECEIPT", **more: object) -> dict[str, object]:
    return {"sku": "TEE", "location": "shop", "delta": delta, "reason": reason, **more}


async def test_every_answer_carries_the_level(bench: Bench, api: httpx.AsyncClient) -> None:
    assert (await api.get("/health/live")).headers["Resilience-Level"] == "UNKNOWN"

    bench.set_level(Level.LIMITED)

    for path in ("/v1/stock/TEE", "/v1/stock/NONE", "/nowhere", "/openapi.json"):
        header = (await api.get(path)).headers["Resilience-Level"]
        assert header.startswith('LIMITED; version="7.42"')


async def test_a_store_answers_at_its_regions_level_and_says_so(bench: Bench, api: httpx.AsyncClient) -> None:
    bench.switches.scope = "eu-west.store-042"
    bench.set_level(Level.LIMITED, "eu-west")

    answer = await api.get("/v1/system/degradation")

    assert answer.headers["Resilience-Level"] == 'LIMITED; version="7.42"; follows="eu-west"'
    shown = answer.json()
    assert (shown["scope"], shown["follows"], shown["level"]) == ("eu-west.store-042", "eu-west", "LIMITED")


async def test_readiness_waits_for_a_level_but_not_for_ever(bench: Bench, api: httpx.AsyncClient) -> None:
    assert (await api.get("/health/ready")).status_code == 503
    bench.startup.caught_up = True
    assert (await api.get("/health/ready")).status_code == 200
    bench.schema_tried = False
    assert (await api.get("/health/ready")).status_code == 503

    await bench.clock.sleep(10)
    bench.store.up = False

    assert (await api.get("/health/ready")).status_code == 200
    assert (await api.get("/health/startup")).status_code == 200


@pytest.mark.parametrize(
    ("level", "expected"),
    [
        (Level.OPTIMAL, (200, False, 201, 201, 200)),
        (Level.DEGRADED, (200, False, 201, 201, 200)),
        (Level.LIMITED, (200, False, 201, 201, 503)),
        (Level.MINIMAL, (200, True, 503, 202, 503)),
        (Level.EMERGENCY, (200, True, 503, 202, 503)),
    ],
)
async def test_each_level_answers_as_the_table_says(
    bench: Bench, api: httpx.AsyncClient, level: Level, expected: tuple[int, bool, int, int, int]
) -> None:
    await api.post("/v1/adjustments", json=adjustment())
    await api.get("/v1/stock/TEE")
    bench.set_level(level)

    read = await api.post("/v1/availability:batch", json={"skus": ["TEE"]})
    line = {"sku": "TEE", "location": "shop", "quantity": 1}
    held = await api.post("/v1/reservations", json={"owner_ref": "cart", "lines": [line]})
    adjusted = await api.post("/v1/adjustments", json=adjustment())
    asked = await api.post("/v1/assistant", json={"question": "What is low?"})

    seen = (read.status_code, read.json()["stale"], held.status_code, adjusted.status_code, asked.status_code)
    assert seen == expected
    assert ("Age" in read.headers) is expected[1]


async def test_confirm_and_release_go_on_in_fallback_and_stop_when_disabled(
    bench: Bench, api: httpx.AsyncClient
) -> None:
    await api.post("/v1/adjustments", json=adjustment())
    line = {"sku": "TEE", "location": "shop", "quantity": 2}
    where = (await api.post("/v1/reservations", json={"owner_ref": "c", "lines": [line]})).headers["Location"]

    bench.set_level(Level.MINIMAL)
    part = {"lines": [{**line, "quantity": 1}]}
    assert (await api.post(f"{where}/confirm", json=part)).json()["state"] == "PARTIAL"
    bench.view.apply_level(level_state(Level.EMERGENCY, (7, 43), bench.clock.now()))

    refused = await api.post(f"{where}/release")
    assert (refused.status_code, refused.json()["state"]) == (503, "DISABLED")


@pytest.mark.parametrize("headers", [{}, {"Idempotency-Key": "k"}], ids=["plain", "with a key"])
async def test_what_ends_a_hold_has_the_next_place_at_the_database(
    bench: Bench, api: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch, headers: dict[str, str]
) -> None:
    await api.post("/v1/adjustments", json=adjustment())
    asked: list[bool] = []

    def noted(real: Callable[..., Any]) -> Callable[..., Any]:
        def begin(*, first: bool = False) -> Any:
            asked.append(first)
            return real(first=first)

        return begin

    single, transaction = bench.store.single, bench.store.transaction
    line = {"sku": "TEE", "location": "shop", "quantity": 2}
    monkeypatch.setattr(bench.store, "transaction", noted(transaction))
    monkeypatch.setattr(bench.store, "single", noted(single))

    held = await api.post("/v1/reservations", json={"owner_ref": "c", "lines": [line]}, headers=headers)
    assert set(asked) == {False}
    asked.clear()
    other = {name: f"{key}-2" for name, key in headers.items()}
    confirmed = await api.post(f"{held.headers['Location']}/confirm", headers=other)

    assert confirmed.status_code == 200
    assert set(asked) == {True}


async def test_a_lost_database_is_told_by_each_feature(bench: Bench, api: httpx.AsyncClient) -> None:
    await api.post("/v1/adjustments", json=adjustment())
    await api.get("/v1/stock/TEE")
    bench.store.up = False
    await bench.clock.sleep(2)

    read = await api.get("/v1/stock/TEE")
    line = {"sku": "TEE", "location": "shop", "quantity": 1}
    held = await api.post("/v1/reservations", json={"owner_ref": "cart", "lines": [line]})
    adjusted = await api.post("/v1/adjustments", json=adjustment())
    listed = await api.get("/v1/locations")

    assert (read.json()["status"], read.json()["available"], read.headers["Age"]) == ("IN", None, "2")
    assert "on_hand" in read.text
    assert read.json()["locations"][0]["on_hand"] is None
    assert (held.status_code, held.json()["because"]) == (503, "dependency")
    assert adjusted.status_code == 202
    assert listed.json()["code"] == "dependency_unavailable"
    assert all(1 <= int(answer.headers["Retry-After"]) <= 300 for answer in (held, listed))


async def test_the_same_key_the_same_answer(api: httpx.AsyncClient) -> None:
    headers = {"Idempotency-Key": "k"}
    first = await api.post("/v1/adjustments", json=adjustment(), headers=headers)
    same = await api.post("/v1/adjustments", json=adjustment(), headers=headers)
    other = await api.post("/v1/adjustments", json=adjustment(6), headers=headers)

    assert (first.status_code, same.status_code, same.text) == (201, 201, first.text)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/adjustments", adjustment(0)),
        ("/v1/adjustments", adjustment(5, "SALE")),
        ("/v1/adjustments", adjustment("5")),
        ("/v1/adjustments", adjustment(delta=True)),
        ("/v1/adjustments", adjustment(5, occurred_at="0001-01-01T00:00:00+14:00")),
        ("/v1/adjustments", adjustment(5, occurred_at="2026-01-01T00:00:00")),
        ("/v1/adjustments", adjustment(5, reference="a\x00b")),
        ("/v1/adjustments", adjustment(5, refrence="typing error")),
        ("/v1/availability:batch", {"skus": []}),
        ("/v1/availability:batch", {"skus": [f"S{n}" for n in range(201)]}),
        ("/v1/reservations", {"owner_ref": "c", "lines": []}),
        ("/v1/skus", {"sku": "A", "name": ""}),
        ("/v1/skus", {"sku": "A\ud800", "name": "Thing"}),
        ("/v1/skus", []),
    ],
    ids=str,
)
async def test_what_makes_no_sense_is_422(api: httpx.AsyncClient, path: str, body: object) -> None:
    content = json.dumps(body)  # in ASCII, so that half a surrogate pair gets through

    answer = await api.post(path, content=content, headers={"content-type": "application/json"})

    assert answer.status_code == 422, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert {"type", "title", "status", "detail", "code", "instance"} <= answer.json().keys()


@pytest.mark.parametrize(
    "path",
    [
        "/v1/skus/a%00b",
        "/v1/stock/a%00b",
        "/v1/skus/%FF",
        "/v1/skus/NONE/image",
        "/v1/skus/a%00b/image",
        "/v1/reservations/a%00b",
        f"/v1/reservations/{NOWHERE}",
        "/v1/operations/a%00b",
        f"/v1/operations/{NOWHERE}",
    ],
)
async def test_what_is_not_there_is_404(bench: Bench, api: httpx.AsyncClient, path: str) -> None:
    bench.set_level(Level.OPTIMAL)

    answer = await api.get(path)

    assert answer.status_code == 404
    assert answer.json()["code"].endswith("_not_found")


async def test_pages_follow_one_another(api: httpx.AsyncClient) -> None:
    for number in range(5):
        await api.post("/v1/skus", json={"sku": f"S{number}", "name": "Thing"})

    names: list[str] = []
    cursor: str | None = None
    while True:
        parameters = {"limit": 2} | ({"cursor": cursor} if cursor else {})
        page = (await api.get("/v1/skus", params=parameters)).json()
        names += [item["sku"] for item in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break

    assert names == ["S0", "S1", "S2", "S3", "S4", "TEE"]
    assert (await api.get("/v1/skus", params={"cursor": "%%%"})).json()["code"] == "invalid_cursor"


async def test_images_are_kept_and_stood_in_for(bench: Bench, api: httpx.AsyncClient) -> None:
    bench.set_level(Level.OPTIMAL)
    png = b"\x89PNG\r\n\x1a\n..."
    assert (await api.put("/v1/skus/TEE/image", content=png)).headers["ETag"] == '"tag"'
    assert (await api.get("/v1/skus/TEE/image")).content == png
    assert (await api.put("/v1/skus/NONE/image", content=png)).status_code == 404

    bench.view.apply_level(level_state(Level.LIMITED, (7, 43), bench.clock.now()))

    assert (await api.get("/v1/skus/TEE/image")).headers["content-type"] == "image/svg+xml"
    assert (await api.put("/v1/skus/TEE/image", content=png)).json()["feature"] == "integrations.media"


@pytest.mark.parametrize(
    ("level", "asked"), [(Level.OPTIMAL, (FULL_TOKENS, False)), (Level.DEGRADED, (SHORT_TOKENS, True))]
)
async def test_a_degraded_level_spares_the_model(
    bench: Bench, api: httpx.AsyncClient, level: Level, asked: tuple[int, bool]
) -> None:
    bench.set_level(level)

    await api.post("/v1/assistant", json={"question": "What is low?"})

    assert bench.model.asked == [asked]


async def test_without_a_model_the_figures_stay(api: httpx.AsyncClient) -> None:
    await api.post("/v1/adjustments", json=adjustment(2))

    answer = (await api.post("/v1/assistant", json={"question": "What is low?"})).json()

    assert answer["source"] == "rules"
    assert answer["answer"] == "Tee (TEE): 2 available, running low."
    assert answer["figures"][0]["status"] == "LOW"


async def test_the_openapi_document_has_examples_and_is_one(api: httpx.AsyncClient) -> None:
    document = (await api.get("/openapi.json")).json()

    assert document["openapi"].startswith("3.1")
    assert {"/v1/skus", "/v1/reservations/{reservation_id}/confirm"} <= document["paths"].keys()
    for schema in document["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)
    assert document["components"]["schemas"]["LineIn"]["properties"]["sku"]["examples"] == ["TEE-BLACK-M"]


async def test_answers_are_measured_by_route_not_by_path(bench: Bench, api: httpx.AsyncClient) -> None:
    await api.get("/v1/stock/TEE")
    await api.get("/nowhere/at/all")

    assert ("GET", "/v1/stock/{sku}", 200) in bench.observed
    assert ("GET", "unmatched", 404) in bench.observed
