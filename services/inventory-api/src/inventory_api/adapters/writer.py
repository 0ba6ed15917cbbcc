"""OpenAI as the writer of answers. Its package is loaded with the first call, in a thread."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, TypeVar

from inventory_api.application.errors import UnavailableError
from resilience_guards import Bulkhead, BulkheadFull, CallNotPermitted, CircuitBreaker, Retry, RetryBudget
from resilience_runtime.lifecycle import give_back

if TYPE_CHECKING:
    from openai import AsyncOpenAI

T = TypeVar("T")
R = TypeVar("R")
DEPENDENCY = "openai"
AT_ONCE, SPARINGLY_AT_ONCE = 8, 2
EMBEDDING = "text-embedding-3-small"
DIMENSIONS = 256
PASSING = frozenset({"APIConnectionError", "InternalServerError"})
"""Errors, by name, after which another attempt may help. Not a timeout: who asks has waited for long enough."""


@dataclass(frozen=True, slots=True)
class Model:
    """Which model, which smaller one to spare it, where, and the key to them."""

    base_url: str | None
    api_key: str | None
    name: str
    small: str


class OpenAIWriter:
    """Writes with chat completions: a deadline on each attempt, and one more where it may help, for a tenth of all calls.

    Not the package's own retries, which know no budget: when all fails they treble what is asked.
    """

    def __init__(self, model: Model, breaker: CircuitBreaker, deadline_s: float) -> None:
        self._model = model
        self._breaker = breaker
        self._deadline_s = deadline_s
        self._places = Bulkhead(AT_ONCE)
        self._few = Bulkhead(SPARINGLY_AT_ONCE)
        self._again = Retry(
            budget=RetryBudget(spare=1),
            is_retryable=_is_passing,
            rng=Random(),  # noqa: S311 - spreads waits, guards nothing
        )
        self._client: AsyncOpenAI | None = None
        self._connecting = asyncio.Lock()

    async def write(self, task: str, text: str, tokens: int, *, sparing: bool = False) -> str:
        """Return what the model writes, or the smaller one when it must be spared."""
        written: str | None = await self._ask(
            self._few if sparing else self._places,
            lambda client: client.chat.completions.create(
                model=self._model.small if sparing else self._model.name,
                max_tokens=tokens,
                messages=[{"role": "system", "content": task}, {"role": "user", "content": text}],
            ),
            lambda done: done.choices[0].message.content if done.choices else None,
        )
        if not written:
            raise UnavailableError(DEPENDENCY, "it wrote nothing")
        return written

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """Return a vector for each text."""
        vectors = await self._ask(
            self._places,
            lambda client: client.embeddings.create(
                model=EMBEDDING, input=list(texts), dimensions=DIMENSIONS
            ),
            lambda done: [each.embedding for each in done.data],
        )
        if len(vectors) != len(texts):
            raise UnavailableError(DEPENDENCY, "it answered something else")
        return vectors

    async def _ask(
        self, places: Bulkhead, ask: Callable[[AsyncOpenAI], Awaitable[T]], read: Callable[[T], R]
    ) -> R:
        if self._model.api_key is None:
            raise UnavailableError(DEPENDENCY, "no key is set")
        try:
            async with places:
                client = await self._connected()
                answer = await self._again.call(lambda: self._guarded(client, ask))
            return read(answer)
        except CallNotPermitted as refused:
            raise UnavailableError(DEPENDENCY, "its circuit breaker is open", refused.retry_after_s) from None
        except BulkheadFull:
            raise UnavailableError(DEPENDENCY, "too many calls wait for it") from None
        except Exception as error:
            raise UnavailableError(DEPENDENCY, f"it does not answer ({type(error).__name__})") from error

    async def _guarded(self, client: AsyncOpenAI, ask: Callable[[AsyncOpenAI], Awaitable[T]]) -> T:
        async with self._breaker.guard():
            return await ask(client)

    async def check(self) -> None:
        """Ask for the list of models."""
        if self._model.api_key is None:
            return
        client = await self._connected()
        async with self._breaker.guard():
            await client.models.list()

    async def close(self) -> None:
        """Disconnect."""
        if self._client is not None:
            await self._client.close()

    async def _connected(self) -> AsyncOpenAI:
        async with self._connecting:
            if self._client is None:
                self._client = await asyncio.to_thread(self._connect)
            return self._client

    def _connect(self) -> AsyncOpenAI:
        # Its other HTTP client, which is not used here, is 6 MB where aiohttp happens to be installed.
        sys.modules.setdefault("openai._vendor.httpx_aiohttp", None)  # type: ignore[arg-type]
        from openai import AsyncOpenAI  # noqa: PLC0415 - 18 MB that a replica without questions never needs

        client = AsyncOpenAI(
            api_key=self._model.api_key,
            base_url=self._model.base_url,
            max_retries=0,
            timeout=self._deadline_s,
        )
        give_back()
        return client


def _is_passing(error: Exception) -> bool:
    return type(error).__name__ in PASSING
