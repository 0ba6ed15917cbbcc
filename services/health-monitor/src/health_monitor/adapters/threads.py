"""Blocking calls off the loop, in threads that are bounded and that never keep the process from ending."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from threading import Thread

from health_monitor.domain import ProbeError
from resilience_contracts import Outcome


class Threads:
    """At most `limit` blocking calls at once, each told its slot, a number below the limit that is its own.

    Not ThreadPoolExecutor: the interpreter waits for its threads at exit, however long a server keeps them.
    """

    def __init__(self, limit: int, name: str) -> None:
        self._name = name
        self._free = list(range(limit))

    async def run(self, call: Callable[[int], None]) -> None:
        """Run `call` in a thread of its own and wait for it; when cancelled, the thread ends by itself.

        Raises `ProbeError` (timeout) if earlier calls still hold every thread, else what `call` raises.
        """
        if not self._free:
            raise ProbeError(Outcome.TIMEOUT, "the server still holds every earlier probe")
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()
        slot = self._free.pop()

        def work() -> None:
            error: Exception | None = None
            try:
                call(slot)
            except Exception as caught:  # noqa: BLE001 - handed to the waiting coroutine
                error = caught
            try:
                loop.call_soon_threadsafe(self._end, slot, done, error)
            except RuntimeError:
                return  # the loop ended first: nobody waits

        Thread(target=work, name=self._name, daemon=True).start()
        await done

    def _end(self, slot: int, done: asyncio.Future[None], error: Exception | None) -> None:
        self._free.append(slot)
        if done.done():
            return
        if error:
            done.set_exception(error)
        else:
            done.set_result(None)
