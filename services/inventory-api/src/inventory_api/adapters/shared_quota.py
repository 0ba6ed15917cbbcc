"""Replicas tell one another through Redis how many requests of each caller they let pass.

In the background, a few times a second: a request never waits for Redis, and without Redis each replica goes on
counting its own. A round trip in front of each request, as libraries for rate limits make it, would cost more than
the answer from the cache that it guards.
"""

from __future__ import annotations

import hashlib

from redis.asyncio import Redis
from redis.exceptions import RedisError

from inventory_api.domain.quota import Count, Quota
from resilience_guards import CallNotPermitted, CircuitBreaker
from resilience_runtime import Clock

INTERVAL_S = 0.25
BATCH = 200
PREFIX = "quota:v1:"


class SharedQuota:
    """Keeps one quota in step with those of other replicas."""

    def __init__(self, quota: Quota, client: Redis, breaker: CircuitBreaker, clock: Clock) -> None:
        self._quota = quota
        self._client = client
        self._breaker = breaker
        self._clock = clock

    async def run(self) -> None:
        """Share for ever."""
        while True:
            await self._clock.sleep(INTERVAL_S)
            await self.share()

    async def share(self) -> None:
        """Share what was counted since the last time; what fails is shared the next time."""
        counts = list(self._quota.unshared().items())
        for start in range(0, len(counts), BATCH):
            try:
                await self._share(counts[start : start + BATCH])
            except (CallNotPermitted, RedisError, OSError, TimeoutError):
                return

    async def _share(self, counts: list[tuple[str, Count]]) -> None:
        told = [(caller, count.window, count.unshared) for caller, count in counts]
        keep_s = self._quota.window_s * 3
        async with self._breaker.guard(), self._client.pipeline(transaction=False) as pipe:
            for caller, window, number in told:
                pipe.incrby(_key(caller, window), number)
                pipe.expire(_key(caller, window), keep_s)
                pipe.get(_key(caller, window - 1))
            answers = await pipe.execute()
        for index, (caller, window, number) in enumerate(told):
            current, _, previous = answers[index * 3 : index * 3 + 3]
            self._quota.heard(caller, window, number, int(current), int(previous or 0))


def _key(caller: str, window: int) -> str:
    digest = hashlib.blake2b(caller.encode(), digest_size=12).hexdigest()
    return f"{PREFIX}{digest}:{window}"
