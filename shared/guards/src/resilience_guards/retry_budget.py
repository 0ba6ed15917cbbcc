"""Retries that cannot make an outage worse: a bounded share of all calls, and never one inside another."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from dataclasses import dataclass
from random import Random
from typing import TypeVar

from .errors import GuardError

T = TypeVar("T")

_retrying: ContextVar[bool] = ContextVar("retrying", default=False)


def no_guard_refused(error: Exception) -> bool:
    """Retry after any error but a guard's refusal, which would only be refused again."""
    return not isinstance(error, GuardError)


class RetryBudget:
    """A bucket of tokens: each call puts `share` of one in, each retry takes one out.

    Over any time there are at most `spare + share * calls` retries.

    Args:
        share: retries for each call.
        spare: tokens to begin with, and at least that many fit in.
        most: tokens that can be saved up, so that a quiet hour does not pay for a storm.
    """

    def __init__(self, share: float = 0.1, spare: float = 0.0, most: float = 10.0) -> None:
        if not 0 < share <= 1 or spare < 0 or most < 1:
            raise ValueError("0 < share <= 1, spare >= 0 and most >= 1 are needed")
        self._share = share
        self._most = max(most, spare)
        self._tokens = spare

    @property
    def tokens(self) -> float:
        """Retries that could be made now."""
        return self._tokens

    def called(self) -> None:
        """Count a first call."""
        self._tokens = min(self._tokens + self._share, self._most)

    def take(self) -> bool:
        """Take a token for a retry; say whether there was one."""
        # Tenths do not add up to a whole in binary; a billionth is no retry.
        if self._tokens < 1 - 1e-9:
            return False
        self._tokens -= 1
        return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """Calls again after an error, while the budget allows.

    Attributes:
        budget: shared by all calls to one dependency.
        attempts: calls in all, the first included.
        wait_s: bound of the first wait; each is drawn evenly from 0 to its bound, and bounds double ("full
            jitter", Brooker, AWS Architecture Blog 2015).
        wait_cap_s: no bound is above it.
        is_retryable: whether another attempt may help.
        rng: draws the waits.
        sleep: waits.
    """

    budget: RetryBudget
    attempts: int = 2
    wait_s: float = 0.05
    wait_cap_s: float = 1.0
    is_retryable: Callable[[Exception], bool] = no_guard_refused
    rng: Random
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep

    async def call(self, function: Callable[[], Awaitable[T]]) -> T:
        """Await `function()`, again after errors; raises the last error.

        Inside another `Retry` it calls once: layers that each try thrice would make 27 calls of one.
        """
        if _retrying.get():
            return await function()
        self.budget.called()
        token = _retrying.set(True)
        try:
            return await self._attempt(function)
        finally:
            _retrying.reset(token)

    async def _attempt(self, function: Callable[[], Awaitable[T]]) -> T:
        for attempt in range(1, self.attempts):
            try:
                return await function()
            except Exception as error:
                if not self.is_retryable(error) or not self.budget.take():
                    raise
            bound_s = min(self.wait_s * 2 ** (attempt - 1), self.wait_cap_s)
            await self.sleep(self.rng.uniform(0, bound_s))
        return await function()
