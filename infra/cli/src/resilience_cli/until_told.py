"""A coroutine that ends in order when the process is told to."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


def run_until_told(coroutine: Coroutine[Any, Any, T]) -> T | None:
    """Run a coroutine; None when SIGINT or SIGTERM cancelled it and it has cleared away after itself."""
    return asyncio.run(_until_told(coroutine))


async def _until_told(coroutine: Coroutine[Any, Any, T]) -> T | None:
    task = asyncio.ensure_future(coroutine)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, task.cancel)
    try:
        return await task
    except asyncio.CancelledError:
        return None
