"""Waiting for a condition, bounded; for tests whose other side is a real process."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

from resilience_runtime.ending import end


async def until(condition: Callable[[], bool], timeout_s: float = 10) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def running(coroutine: Coroutine[Any, Any, None]) -> AsyncIterator[asyncio.Task[None]]:
    """Run beside the test; it must still be running at the end."""
    task = asyncio.create_task(coroutine)
    try:
        yield task
        assert not task.done(), f"ended early: {task}"
    finally:
        await end(task)
