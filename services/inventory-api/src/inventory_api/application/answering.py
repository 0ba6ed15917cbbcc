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
Step = Callable[[Transaction], Awaitable[T | None]]
"""Work of one step, which does it or does nothing and returns None."""
Render = Callable[[T | InventoryError], Answer]


async def answer(
    store: Store,
    request: Request | None,
    work: Work[T],
    render: Render[T],
    step: Step[T] | None = None,
    *,
    first: bool = False,
) -> Answer:
    """Do the work in one transaction and keep its answer there, refusals included.

    Args:
        store: the authority.
        request: None when the client gave no key; then nothing is kept.
        work: what to do.
        render: turns its result, or the error it raised, into an answer.
        step: is tried before, if there is one; when it does nothing, the work is done.
        first: whether it goes before others that wait for the authority.

    Raises:
        KeyReusedError: the key belongs to another request.
        KeyInFlightError: the first request with the key is not done yet.
        UnavailableError, BusyError: nothing is kept then, so that a repetition tries again.
    """
    try:
        return await patiently(lambda: _do(store, request, work, render, step, first=first))
    except KeyConflictError:
        raise
    except InventoryError as error:
        refused = render(error)
    if request is None:
        return refused
    # What the work did is undone with its transaction; the refusal is kept in one of its own.
    return await patiently(lambda: _do(store, request, _nothing, lambda _: refused, first=first))


async def _do(
    store: Store,
    request: Request | None,
    work: Work[T],
    render: Render[T],
    step: Step[T] | None = None,
    *,
    first: bool,
) -> Answer:
    if request is None:
        done = None
        if step is not None:
            async with store.single(first=first) as transaction:
                done = await step(transaction)
        if done is None:
            async with store.transaction(first=first) as transaction:
                done = await work(transaction)
        return render(done)
    async with store.transaction(first=first) as transaction:
        kept = await transaction.answers.claim(request.caller, request.key)
        if kept is not None:
            return _same(kept, request)
        done = await step(transaction) if step is not None else None
        answered = render(await work(transaction) if done is None else done)
        await transaction.answers.keep(request.caller, request.key, Kept(request.sha256, answered))
        return answered


async def _nothing(_: Transaction) -> None:
    """Do nothing."""


def _same(kept: Kept, request: Request) -> Answer:
    if kept.request_sha256 != request.sha256:
        raise KeyReusedError
    return kept.answer
