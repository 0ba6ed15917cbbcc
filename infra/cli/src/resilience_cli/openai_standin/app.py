"""The HTTP side of the stand-in. Starlette rather than FastAPI: five routes and a smaller process."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator, Callable

from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from . import answers
from .answers import LABEL, Json
from .control import Control

HEADERS = {"X-Stand-In": LABEL}
ERROR_TYPES = {401: "invalid_request_error", 404: "invalid_request_error", 429: "rate_limit_exceeded"}


class StandIn:
    """The stand-in's routes and the orders that it was given."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._control = Control()

    async def say_what_it_is(self, _request: Request) -> Response:
        """GET /."""
        text = (
            "A stand-in for OpenAI's API. No model answers here. PUT /control makes it slow, refuse and fail."
        )
        return JSONResponse({"label": LABEL, "description": text}, headers=HEADERS)

    async def control(self, request: Request) -> Response:
        """GET shows the orders, PUT replaces them, DELETE ends them. Never itself slowed or refused."""
        if request.method == "PUT":
            try:
                self._control = Control.model_validate_json(await request.body())
            except ValidationError as error:
                wrong = error.errors(include_url=False, include_context=False, include_input=False)
                return JSONResponse({"errors": wrong}, 422, HEADERS)
        if request.method == "DELETE":
            self._control = Control()
        return JSONResponse(self._control.model_dump(), headers=HEADERS)

    async def models(self, request: Request) -> Response:
        """GET /v1/models."""
        return await self._obey(request) or self._answer(answers.models())

    async def model(self, request: Request) -> Response:
        """GET /v1/models/{name}."""
        return await self._obey(request) or self._answer(answers.model(request.path_params["name"]))

    async def embeddings(self, request: Request) -> Response:
        """POST /v1/embeddings."""
        return await self._obey(request) or await self._work(request, ("model", "input"), answers.embeddings)

    async def chat(self, request: Request) -> Response:
        """POST /v1/chat/completions, whole or as a stream."""
        return await self._obey(request) or await self._work(
            request, ("model", "messages"), answers.completion
        )

    async def _obey(self, request: Request) -> Response | None:
        """Do to this call what was ordered; None lets it go on."""
        order = self._control
        await asyncio.sleep(order.latency_ms / 1000)
        if order.status is not None and order.refuses(self._chance):
            wait = {} if order.retry_after_s is None else {"Retry-After": f"{order.retry_after_s:g}"}
            return _error(order.status, "told to fail by /control", wait)
        if not request.headers.get("authorization", "").startswith("Bearer "):
            return _error(401, "You didn't provide an API key.")
        return None

    async def _work(
        self, request: Request, needed: tuple[str, ...], answer: Callable[[Json], Json]
    ) -> Response:
        try:
            body = json.loads(await request.body())
        except ValueError:
            return _error(400, "We could not parse the JSON body of your request.")
        missing = [name for name in needed if not isinstance(body, dict) or not body.get(name)]
        if missing:
            return _error(400, f"Missing required parameter: '{missing[0]}'.")
        if answer is answers.completion and body.get("stream") and not self._control.malformed:
            return StreamingResponse(_events(body), media_type="text/event-stream", headers=HEADERS)
        return self._answer(answer(body))

    def _answer(self, body: Json) -> Response:
        text = json.dumps(body)
        if self._control.malformed:
            text = text[: len(text) // 2]
        return Response(text, media_type="application/json", headers=HEADERS)


def create_app(chance: random.Random) -> Starlette:
    """Build the application.

    Args:
        chance: decides which calls fail when only a share of them should.
    """
    its = StandIn(chance)
    return Starlette(
        routes=[
            Route("/", its.say_what_it_is),
            Route("/control", its.control, methods=["GET", "PUT", "DELETE"]),
            Route("/v1/models", its.models),
            Route("/v1/models/{name:path}", its.model),
            Route("/v1/chat/completions", its.chat, methods=["POST"]),
            Route("/v1/embeddings", its.embeddings, methods=["POST"]),
        ]
    )


async def _events(body: Json) -> AsyncIterator[str]:
    for chunk in answers.completion_chunks(body):
        yield f"data: {json.dumps(chunk)}\n\n"
        await asyncio.sleep(0)
    yield "data: [DONE]\n\n"


def _error(status: int, message: str, headers: dict[str, str] | None = None) -> Response:
    kind = ERROR_TYPES.get(status, "server_error" if status >= 500 else "invalid_request_error")  # noqa: PLR2004
    error = {"message": f"[{LABEL}] {message}", "type": kind, "param": None, "code": None}
    return JSONResponse({"error": error}, status, {**HEADERS, **(headers or {})})
