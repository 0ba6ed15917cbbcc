from __future__ import annotations

import asyncio
import gc
from typing import Any

from resilience_runtime.ending import end


async def _deaf(times: int) -> None:
    """Loses so many cancellations."""
    for _ in range(times):
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            continue
    await asyncio.Event().wait()


async def test_a_task_that_loses_a_cancellation_is_cancelled_again() -> None:
    task = asyncio.create_task(_deaf(2))
    await asyncio.sleep(0)

    await end(task)

    assert task.cancelled()


async def test_a_task_that_failed_before_is_not_complained_of() -> None:
    complaints: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, complaint: complaints.append(complaint))

    async def fail() -> None:
        raise ConnectionError("gone")

    task = asyncio.create_task(fail())
    await asyncio.wait({task})
    await end(task)
    del task
    gc.collect()

    assert complaints == []
