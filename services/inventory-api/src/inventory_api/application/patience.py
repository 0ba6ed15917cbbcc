"""Trying a transaction again while others have the rows that it needs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from .errors import RowInDemandError

T = TypeVar("T")

PAUSES_S = (0.01, 0.02, 0.05, 0.1, 0.2, 0.4)
"""Between attempts, each of which waits for the row itself: seconds of patience, not milliseconds."""


async def patiently(work: Callable[[], Awaitable[T]]) -> T:
    """Do a whole transaction, again while its rows are in demand.

    Raises:
        RowInDemandError: they still are.
    """
    for pause_s in PAUSES_S:
        try:
            return await work()
        except RowInDemandError:
            await asyncio.sleep(pause_s)
    return await work()
