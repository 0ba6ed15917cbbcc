from __future__ import annotations

import json
from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import APIRouter, FastAPI, HTTPException, Request
from fastapi.dependencies.utils import get_dependant
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel
from starlette.responses import JSONResponse, Response

from resilience_runtime import (
    Problem,
    ProblemDetails,
    Readiness,
    build_app,
    configure_logging,
    prepare_routes,
)
from resilience_runtime.http import _pointer

LIMIT = 1000
SECRET = "postgresql://user:hunter2@db"


class Thing(BaseModel):
    name: str
    count: int


def own_shape(_: Request, details: ProblemDetails) -> Response:
    return JSONResponse({"errorCode": details.code}, details.status)


def application(readiness: Readiness | None = None) -> FastAPI:
    found = readiness or Readiness(ready=True)
    app = build_app(
        "Test",
        lambda: found,
        startup=lambda: Readiness(ready=True, checks={"migrated": True}),
        max_body_bytes=LIMIT,
        error_shapes={"/own/": own_shape},
    )

    @app.post("/things/{number}")
    async def make(number: int, thing: Thing) -> int:
        return number + thing.count

    @app.get("/refused")
    async def refuse() -> None:
        raise Problem(409, "sold_out", "None left.", headers={"Retry-After": "3"}, sku="A1")

    @app.get("/teapot")
    async def teapot() -> None:
        raise HTTPException(418, "short and stout", headers={"X-Spout": "yes"})

    @app.get("/broken")
    @app.get("/own/broken")
    async def fail() -> None:
        raise ZeroDivisionError(SECRET)

    @app.get("/exhausted")
    async def exhaust() -> None:
        raise MemoryError

    @app.post("/own/things")
    async def own(thing: Thing) -> None:
        del thing

    return app


def client(app: FastAPI) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test")


async def ask(
    method: str, path: str, *, content: bytes | AsyncIterator[bytes] | None = None
) -> httpx.Response:
    async with client(application()) as http:
        return await http.request(method, path, content=content, headers={"content-type": "application/json"})


@pytest.mark.parametrize(
    ("method", "path", "content", "status", "code"),
    [
        ("GET", "/nothing", None, 404, "not_found"),
        ("DELETE", "/refused", None, 405, "method_not_allowed"),
        ("POST", "/things/1", b"x" * (LIMIT + 1), 413, "content_too_large"),
        ("POST", "/things/1", b"{}", 422, "invalid_request"),
        ("POST", "/things/1", b"{", 422, "invalid_request"),
        ("POST", "/things/1", b"\xff", 400, "bad_request"),
        ("GET", "/refused", None, 409, "sold_out"),
        ("GET", "/teapot", None, 418, "im_a_teapot"),
        ("GET", "/broken", None, 500, "internal_error"),
        ("GET", "/exhausted", None, 503, "out_of_memory"),
    ],
)
async def test_every_error_is_problem_json(
    method: str, path: str, content: bytes | None, status: int, code: str
) -> None:
    answer = await ask(method, path, content=content)

    body = answer.json()
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert (body["status"], body["code"], body["instance"]) == (status, code, path)
    assert body["type"].endswith(f"/{code}")
    assert body["title"]
    assert body["detail"]


async def test_a_problem_keeps_its_headers_and_members() -> None:
    answer = await ask("GET", "/refused")

    assert answer.headers["retry-after"] == "3"
    assert answer.json()["sku"] == "A1"
    assert answer.json()["detail"] == "None left."


async def test_headers_of_the_frameworks_errors_are_kept() -> None:
    assert (await ask("GET", "/teapot")).headers["x-spout"] == "yes"
    assert (await ask("DELETE", "/refused")).headers["allow"] == "GET"


async def test_a_validation_error_points_at_each_fault() -> None:
    answer = await ask("POST", "/things/x", content=b'{"count": "many"}')

    assert {fault["pointer"] for fault in answer.json()["errors"]} == {
        "/path/number",
        "/body/name",
        "/body/count",
    }
    assert all(fault["message"] for fault in answer.json()["errors"])


async def test_an_unexpected_error_shows_no_internals_and_is_logged_once(
    logging_restored: None, capsys: pytest.CaptureFixture[str]
) -> None:
    configure_logging("INFO", "json", "test", "one")
    answer = await ask("GET", "/broken")

    (line,) = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert SECRET not in answer.text
    assert line["incident"] == answer.json()["incident"]
    assert (line["method"], line["path"]) == ("GET", "/broken")
    assert SECRET in str(line["exception"])


async def test_want_of_memory_is_told_in_one_line_and_when_to_come_back(
    logging_restored: None, capsys: pytest.CaptureFixture[str]
) -> None:
    configure_logging("INFO", "json", "test", "one")
    answer = await ask("GET", "/exhausted")

    (line,) = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert (line["event"], line["path"]) == ("out of memory", "/exhausted")
    assert "exception" not in line
    assert answer.headers["retry-after"] == str(answer.json()["retry_after"]) == "5"


async def test_a_chunked_body_is_measured_as_it_comes() -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(11):
            yield b" " * 100

    answer = await ask("POST", "/things/1", content=chunks())

    assert answer.status_code == 413
    assert answer.json()["code"] == "content_too_large"


async def test_a_body_at_the_limit_is_read() -> None:
    body = b'{"name": "x", "count": 1}'.ljust(LIMIT)

    assert (await ask("POST", "/things/1", content=body)).json() == 2


@pytest.mark.parametrize(
    ("method", "path", "content", "status"),
    [
        ("GET", "/own/nothing", None, 404),
        ("PUT", "/own/things", None, 405),
        ("POST", "/own/things", b"x" * (LIMIT + 1), 413),
        ("POST", "/own/things", b"{}", 422),
        ("GET", "/own/broken", None, 500),
    ],
)
async def test_a_prefix_may_have_a_shape_of_its_own(
    method: str, path: str, content: bytes | None, status: int
) -> None:
    answer = await ask(method, path, content=content)

    assert answer.status_code == status
    assert set(answer.json()) == {"errorCode"}


async def test_health_answers_what_the_checks_find() -> None:
    not_ready = Readiness(ready=False, checks={"caught_up": False})
    async with client(application(not_ready)) as http:
        live, ready, startup = [await http.get(f"/health/{name}") for name in ("live", "ready", "startup")]

    assert (live.status_code, ready.status_code, startup.status_code) == (200, 503, 200)
    assert ready.json() == {"status": "fail", "checks": {"caught_up": False}}
    assert startup.json() == {"status": "pass", "checks": {"migrated": True}}


def test_the_document_says_that_errors_are_problem_json() -> None:
    responses = application().openapi()["paths"]["/things/{number}"]["post"]["responses"]

    assert "422" not in responses
    assert "application/problem+json" in responses["4XX"]["content"]
    assert "application/problem+json" in responses["5XX"]["content"]


@given(st.lists(st.text() | st.integers(), min_size=1))
def test_a_pointer_can_be_taken_apart_again(location: list[str | int]) -> None:
    pointer = _pointer(tuple(location))

    steps = [step.replace("~1", "/").replace("~0", "~") for step in pointer.split("/")[1:]]
    assert steps == [str(step) for step in location]


async def test_the_first_request_finds_its_route_prepared(monkeypatch: pytest.MonkeyPatch) -> None:
    app, router, prepared = application(), APIRouter(prefix="/v1"), list[str]()

    @router.get("/hello")
    async def hello() -> str:
        return "hello"

    def noted(*args: object, **kwargs: object) -> object:
        prepared.append(str(kwargs["path"]))
        return get_dependant(*args, **kwargs)  # type: ignore[arg-type]

    app.include_router(router)
    monkeypatch.setattr("fastapi.routing.get_dependant", noted)

    prepare_routes(app)
    assert prepared == ["/v1/hello"]
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        assert (await client.get("/v1/hello")).json() == "hello"
    assert prepared == ["/v1/hello"]
