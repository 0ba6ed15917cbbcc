"""Asks inventory-api for what the console shows of it: bounded, optional, and the service's work without it.

httpcore2, as the webhooks use it: one more client would be one more thing to keep.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import datetime
from typing import Annotated, Self, TypeVar

import httpcore2
from pydantic import AwareDatetime, BaseModel, Field, ValidationError

from flag_service.domain.inventory import Backlog, Figures, Inventory
from flag_service.settings import Settings
from resilience_runtime.clock import Clock
from resilience_runtime.settings import load_file

INTERVAL_S = 5.0
TIMEOUT_S = 3.0
MOST_BYTES = 256 * 1024
OK = 200

Number = Annotated[int, Field(ge=0)]
T = TypeVar("T", bound=BaseModel)


class _FiguresIn(BaseModel):
    skus: Number
    on_hand: int
    reserved: Number
    low: Number
    out: Number
    as_of: AwareDatetime
    stale: bool


class _CommandsIn(BaseModel):
    waiting: Number | None
    oldest_age_s: float | None


class _StateIn(BaseModel):
    commands: _CommandsIn


class _NotToldError(Exception):
    """The inventory did not give an answer that can be used."""


class InventoryReader:
    """Keeps what inventory-api said last; without its address, nothing."""

    def __init__(self, url: str | None, api_key: str | None, clock: Clock) -> None:
        self._inventory = Inventory()
        self._url = url.rstrip("/") if url else None
        self._headers = [(b"x-api-key", api_key.encode())] if api_key else []
        self._clock = clock

    @classmethod
    def of(cls, settings: Settings, clock: Clock) -> Self:
        """Make the reader that the settings ask for."""
        file = settings.inventory_api_key_file
        key = load_file("INVENTORY_API_KEY_FILE", file, str.strip, ValueError) if file else None
        return cls(settings.inventory_url, key, clock)

    def last(self) -> Inventory | None:
        """Return what was heard last; None where there is nobody to ask."""
        return self._inventory if self._url else None

    async def run(self) -> None:
        """Ask for ever."""
        if not self._url:
            await asyncio.Event().wait()
        async with httpcore2.AsyncConnectionPool(max_connections=1) as pool:
            while True:
                await self.look(pool)
                await self._clock.sleep(INTERVAL_S)

    async def look(self, pool: httpcore2.AsyncConnectionPool) -> None:
        """Ask once. What cannot be had keeps its last value."""
        problem = None
        try:
            backlog = await self._ask(pool, "/v1/system/degradation", _StateIn)
            self._inventory = replace(
                self._inventory, backlog=Backlog(**backlog.commands.model_dump(), heard_at=self._now())
            )
            figures = await self._ask(pool, "/v1/dashboard", _FiguresIn)
            self._inventory = replace(self._inventory, figures=Figures(**figures.model_dump()))
        except _NotToldError as error:
            problem = str(error)
        self._inventory = replace(self._inventory, problem=problem)

    def _now(self) -> datetime:
        return self._clock.now()

    async def _ask(self, pool: httpcore2.AsyncConnectionPool, path: str, model: type[T]) -> T:
        try:
            async with (
                asyncio.timeout(TIMEOUT_S),
                pool.stream("GET", f"{self._url}{path}", headers=self._headers) as answer,
            ):
                body = await _bounded(answer)
        except TimeoutError as error:
            raise _NotToldError(f"no answer within {TIMEOUT_S:g} s") from error
        except (
            httpcore2.NetworkError,
            httpcore2.ProtocolError,
            httpcore2.UnsupportedProtocol,
            OSError,
        ) as error:
            raise _NotToldError("inventory-api cannot be reached") from error
        if answer.status != OK:
            raise _NotToldError(f"inventory-api answers {answer.status} for {path}")
        try:
            return model.model_validate_json(body)
        except ValidationError as error:
            raise _NotToldError(f"inventory-api answers something else for {path}") from error


async def _bounded(answer: httpcore2.Response) -> bytes:
    body = bytearray()
    async for piece in answer.aiter_stream():
        body += piece
        if len(body) > MOST_BYTES:
            raise _NotToldError("inventory-api answers too much")
    return bytes(body)
