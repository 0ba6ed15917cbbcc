"""The door in front of a small application, over HTTP without a network."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse

from inventory_api.adapters.memory import MemoryStore
from inventory_api.application.stock_reader import StockReader
from inventory_api.application.switches import Switches
from inventory_api.domain.access import KeyScope, allows, needed_scope
from inventory_api.domain.quota import Quota
from inventory_api.http import access
from inventory_api.http.access import Door
from inventory_api.http.doors import guards
from inventory_api.http.overload import Lanes
from resilience_contracts import View, default_policy
from resilience_runtime import KeyRing, ManualClock, Readiness, build_app, create_key
from tests.inventory_api.test_stock_reader import AGES, Shared

ORIGIN = "https://shop.example"


def nothing_at_hand(clock: ManualClock) -> StockReader:
    switches = Switches(View(default_policy()), "default", clock, Random(1))
    return StockReader(MemoryStore(clock), Shared(), switches, clock, AGES)


@dataclass
class Client:
    api: httpx.AsyncClient
    door: Door
    keys: dict[str, str]
    file: Path
    clock: ManualClock

    async def ask(self, method: str, path: str, who: str | None = None) -> httpx.Response:
        headers = {"X-API-Key": self.keys[who]} if who else {}
        return await self.api.request(method, path, headers=headers)


def write_keys(file: Path, *scopes: str) -> dict[str, str]:
    made = {scope: create_key(scope, frozenset({scope})) for scope in scopes}
    file.write_text(json.dumps([entry.model_dump(mode="json") for _, entry in made.values()]))
    return {scope: key for scope, (key, _) in made.items()}


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[Client]:
    file, clock = tmp_path / "keys.json", ManualClock(jump=True)
    keys = write_keys(file, "read", "reserve", "write", "admin")
    door = Door(KeyRing.load(file), frozenset(), Quota(30, 10), clock)
    app = build_app("Test", lambda: Readiness(ready=True))

    async def echo(request: Request) -> JSONResponse:
        return JSONResponse({"caller": request.state.caller, "body": len(await request.body())})

    app.add_route("/v1/{rest:path}", echo, ["GET", "POST", "PUT"])
    for guard in reversed(guards(door, (ORIGIN,), nothing_at_hand(clock), Lanes())):
        app.add_middleware(guard.cls, *guard.args, **guard.kwargs)
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://api") as api:
        yield Client(api, door, keys, file, clock)


@pytest.mark.parametrize(
    ("method", "path", "needed"),
    [
        ("GET", "/v1/stock/TEE", "read"),
        ("POST", "/v1/availability:batch", "read"),
        ("POST", "/v1/reservations", "reserve"),
        ("POST", "/v1/reservations/1/confirm", "reserve"),
        ("POST", "/v1/adjustments", "write"),
        ("PUT", "/v1/skus/TEE/image", "write"),
        ("POST", "/v1/imports", "write"),
        ("POST", "/v1/whatever-comes-next", "write"),
        ("GET", "/v1/webhooks", "admin"),
    ],
)
async def test_a_key_opens_what_its_scope_names(client: Client, method: str, path: str, needed: str) -> None:
    for scope in client.keys:
        expected = 200 if scope in {needed, "admin"} else 403
        answer = await client.ask(method, path, scope)
        assert answer.status_code == expected, scope
        if expected == 200:
            assert answer.json()["caller"] == scope
        else:
            assert (answer.json()["code"], answer.json()["scope"]) == ("scope_missing", needed)

    stranger = await client.ask(method, path)
    assert stranger.status_code == 401
    assert stranger.headers["WWW-Authenticate"] == "ApiKey"


def test_admin_alone_includes_the_others() -> None:
    for scope in KeyScope:
        assert allows(frozenset({"admin"}), scope)
        assert allows(frozenset({"write"}), scope) is (scope is KeyScope.WRITE)
    assert needed_scope("DELETE", "/v1/skus/TEE") is KeyScope.WRITE


async def test_a_wrong_key_is_refused_even_where_none_is_needed(client: Client) -> None:
    client.door.anonymous = frozenset({"read"})

    assert (await client.ask("GET", "/v1/stock")).json()["caller"] == "anonymous"
    assert (await client.api.get("/v1/stock", headers={"X-API-Key": "made up"})).status_code == 401
    assert (await client.ask("POST", "/v1/adjustments")).status_code == 401


async def test_what_is_not_under_v1_needs_no_key(client: Client) -> None:
    assert (await client.ask("GET", "/health/live")).status_code == 200
    assert (await client.ask("GET", "/openapi.json")).status_code == 200


async def test_keys_change_without_a_restart(client: Client) -> None:
    old = client.keys["read"]
    client.keys = write_keys(client.file, "read")

    assert (await client.ask("GET", "/v1/stock", "read")).status_code == 200
    assert (await client.api.get("/v1/stock", headers={"X-API-Key": old})).status_code == 401


async def test_too_many_requests_are_told_when_to_come_back(client: Client) -> None:
    answers = [await client.ask("GET", "/v1/stock", "read") for _ in range(31)]

    assert [answer.status_code for answer in answers] == [200] * 30 + [429]
    assert answers[0].headers["RateLimit-Policy"] == '"default";q=30;w=10'
    assert answers[0].headers["RateLimit"].startswith('"default";r=29;t=')
    refused = answers[-1]
    assert refused.json()["code"] == "too_many_requests"
    assert refused.headers["Retry-After"] == str(refused.json()["retry_after"])
    assert (await client.ask("GET", "/v1/stock", "write")).status_code == 403
    assert client.door.refused == {429: 1, 403: 1}

    await client.clock.sleep(refused.json()["retry_after"])
    assert (await client.ask("GET", "/v1/stock", "read")).status_code == 200


async def test_who_ends_a_hold_is_served_beyond_the_quota(client: Client) -> None:
    for _ in range(40):
        await client.ask("GET", "/v1/reservations/1", "reserve")

    assert (await client.ask("POST", "/v1/reservations", "reserve")).status_code == 429
    assert (await client.ask("POST", "/v1/reservations/1/release", "reserve")).status_code == 200


async def test_pages_of_other_origins_may_not_call(client: Client) -> None:
    ask = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "X-API-Key"}

    ours = await client.api.options("/v1/reservations", headers={"Origin": ORIGIN, **ask})
    theirs = await client.api.options("/v1/reservations", headers={"Origin": "https://evil.example", **ask})
    refused = await client.api.get("/v1/stock", headers={"Origin": ORIGIN})

    assert ours.headers["Access-Control-Allow-Origin"] == ORIGIN
    assert theirs.status_code == 400
    assert "Access-Control-Allow-Origin" not in theirs.headers
    assert refused.headers["Access-Control-Allow-Origin"] == ORIGIN


async def test_sizes_are_limited(client: Client) -> None:
    key = {"X-API-Key": client.keys["read"]}

    assert (await client.api.get("/v1/stock", headers={**key, "X-Long": "x" * 17_000})).status_code == 431
    assert (await client.api.get("/v1/" + "x" * 9_000, headers=key)).status_code == 414


async def test_a_body_that_does_not_arrive_is_given_up(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(access, "BODY_S", 0.05)

    async def slow() -> AsyncIterator[bytes]:
        yield b"a"
        await asyncio.Event().wait()

    receives = slow()
    sent: list[dict[str, object]] = []

    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": await anext(receives), "more_body": True}

    async def send(message: dict[str, object]) -> None:
        sent.append(message)

    app = client.api._transport.app  # type: ignore[attr-defined]
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/v1/adjustments",
        "raw_path": b"/v1/adjustments",
        "query_string": b"",
        "headers": [(b"x-api-key", client.keys["write"].encode())],
        "scheme": "http",
        "server": ("api", 80),
        "client": ("127.0.0.1", 1),
        "http_version": "1.1",
        "root_path": "",
    }
    await app(scope, receive, send)

    assert sent[0]["status"] == 408
