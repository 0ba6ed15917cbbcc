"""What routes work with, and how they get at it."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Header
from pydantic import BaseModel
from starlette.requests import Request

from inventory_api.application import answering
from inventory_api.application.assistant import Assistant
from inventory_api.application.commands import Commands
from inventory_api.application.images import Images
from inventory_api.application.stock_reader import StockReader
from inventory_api.application.store import Store
from inventory_api.application.switches import Switches
from inventory_api.domain.gate import Action, Behaviour
from resilience_guards import CircuitBreaker
from resilience_runtime import Clock


@dataclass(frozen=True, slots=True)
class Services:
    """Everything that a route may use."""

    store: Store
    stock: StockReader
    commands: Commands
    images: Images
    assistant: Assistant
    switches: Switches
    breakers: Mapping[str, CircuitBreaker]
    feed_age_s: Callable[[], float | None]
    clock: Clock
    waiting: Callable[[], int | None] = lambda: None
    waiting_age_s: Callable[[], float | None] = lambda: None


# Dependencies are coroutines because FastAPI takes plain functions to a thread.
async def _services(request: Request) -> Services:
    services: Services = request.app.state.services
    return services


Serving = Annotated[Services, Depends(_services)]
Key = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=255,
        description="the same key with the same request is done once and answered alike",
    ),
]


def caller_of(request: Request) -> str:
    """Return who asks: the owner of the API key, or `anonymous`."""
    caller: str = getattr(request.state, "caller", answering.ANONYMOUS)
    return caller


def identify(request: Request, key: str | None, body: BaseModel) -> answering.Request | None:
    """Return what a repetition is known by: the key, and a digest of method, path and body."""
    if key is None:
        return None
    text = f"{request.method} {request.url.path}\n{body.model_dump_json(exclude_unset=True)}"
    return answering.Request(caller_of(request), key, hashlib.sha256(text.encode()).hexdigest())


def admitted(action: Action) -> Callable[..., Awaitable[Behaviour]]:
    """Return a dependency that refuses an action whose feature is off, before its body is looked at."""

    async def admit(request: Request, services: Serving) -> Behaviour:
        request.state.action = action
        return services.switches.admit(action)

    return admit
