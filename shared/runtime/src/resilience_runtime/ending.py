"""Ending a task for sure."""

from __future__ import annotations

import asyncio
from typing import Any

AGAIN_S = 0.5


async def end(task: asyncio.Future[Any]) -> None:
    """Cancel a task until it is done; what it fails with no longer matters to anyone.

    Once is not enough: `asyncio.wait_for`, which aiokafka uses too, loses a cancellation that comes together with an
    error (bpo-37658).
    """
    while not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=AGAIN_S)
    if not task.cancelled():
        task.exception()
