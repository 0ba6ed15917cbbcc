"""The same request with the same Idempotency-Key is done once and answered alike."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from inventory_api.domain.errors import InventoryError, KeyConflictError, KeyReusedError

from .patience import patiently
from .store import Answer, Kept, Store, Transaction

T = TypeVar("T")

ANONYMOUS = "anonymous"
"""A caller without an API key, where the operator lets one in."""


@dataclass(frozen=True, slots=True)
class Request:
    """Who asks, under which key, and a digest of method, path and body."""

    caller: str
    key: str
    sha256: str


Work = Callable[[Transaction], Awaitable[T]]
Render = Callable[[T | InventoryError], Answer]


async def answer(store: Store, request: Request | None, work: Work[T], render: Render[T]) -> Answer:
    """Do the work in one transaction and keep its answer there, refusals included.

    Args:
        store: the authority.
        request: None when the client gave no key; then nothing is kept.
        work: what to do.
        render: turns its result, or the error it raised, into an answer.

    Raises:
        KeyReusedError: the key belongs to another request.
        KeyInFlightError: the first request with the key is not done yet.
        UnavailableError, BusyError: nothing is kept then, so that a repetition tries again.
    """
    try:
        return await patiently(lambda: _do(store, request, work, render))
    except KeyConflictError:
        raise
    except InventoryError as error:
        refused = render(error)
    if request is None:
        return refused
    # What the work did is undone with its transaction; the refusal is kept in one of its own.
    return await patiently(lambda: _do(store, request, _nothing, lambda _: refused))


async def _do(store: Store, request: Request | None, work: Work[T], render: Render[T]) -> Answer:
    if request is None:
        async with store.transaction() as transaction:
            return render(await work(transaction))
    async with store.transaction() as transaction:
        kept = await transaction.answers.claim(request.caller, request.key)
        if kept is not None:
            return _same(kept, request)
        answered = render(await work(transaction))
        await transaction.answers.keep(request.caller, request.key, Kept(request.sha256, answered))
        return answered


async def _nothing(_: Transaction) -> None:
    """Do nothing."""


def _same(kept: Kept, request: Request) -> Answer:
    if kept.request_sha256 != request.sha256:
        raise KeyReusedError
    return kept.answer
