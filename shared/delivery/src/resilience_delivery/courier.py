"""Delivers webhooks: one task for each subscription, one message at a time, the newest first."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from random import Random
from typing import Generic, NamedTuple, Protocol

import structlog

from resilience_runtime.bus import PublishError
from resilience_runtime.clock import Clock
from resilience_runtime.errors import RuntimeFault
from resilience_runtime.pulse import Pulse

from .message import Answer, Message, Remains, only_its_id
from .subscriptions import S, Subscriptions
from .webhook import Condition, Progress, Subscription

LOOK_AGAIN_S = 60.0
LOOK_AT_KEPT_S = 1.0
"""What keeps messages for later may end without a beat."""
LOOK_FOR_LEASE_S = 0.5
STORE_AGAIN_S = 1.0
BROKEN_S = 30.0

_log = structlog.get_logger(__name__)


class Sender(Protocol):
    """Delivers one message once."""

    async def send(self, url: str, secrets: Sequence[str], message: Message) -> Answer:
        """Try once, signed with each secret; never raises."""
        ...


class News(NamedTuple):
    """What a subscriber is to be told of: messages, and the position in a log that they lead to, if it is one."""

    messages: Sequence[Message]
    position: Mapping[str, int] | None = None


Newsroom = Callable[[S, Progress], Awaitable[News]]
"""Returns the newest message of every subject, or what is next in a log. Asked again and again, as long as there is
something new. May raise a `RuntimeFault`: then it is asked again after a while."""


class Courier(Generic[S]):
    """Works while this replica is the one that delivers.

    What is to be sent is stored before the first attempt, so that whoever goes on after a crash sends the
    same bytes under the same id.

    Attributes:
        attempts: by how they ended.
    """

    def __init__(
        self,
        *,
        subscriptions: Subscriptions[S],
        news: Newsroom[S],
        ready: Callable[[], bool],
        kept: Callable[[Message], object],
        secrets: Callable[[Subscription, datetime], Sequence[str]],
        key_id: str,
        sender: Sender,
        clock: Clock,
        pulse: Pulse,
        rng: Random,
        remains: Remains = only_its_id,
    ) -> None:
        self._subscriptions = subscriptions
        self._news = news
        self._remains = remains
        self._ready = ready
        self._kept = kept
        self._secrets = secrets
        self._key_id = key_id
        self._sender = sender
        self._clock = clock
        self._pulse = pulse
        self._rng = rng
        self.attempts: Counter[str] = Counter()

    async def run(self) -> None:
        """Serve every subscription, for ever."""
        tasks: dict[str, asyncio.Task[None]] = {}
        try:
            while True:
                wanted = {one.id for one in self._subscriptions.all() if self._serves(one)}
                for name in tasks.keys() - wanted:
                    tasks.pop(name).cancel()
                for name in [name for name, task in tasks.items() if task.done()]:
                    del tasks[name]
                for name in wanted - tasks.keys():
                    tasks[name] = asyncio.create_task(self._serve(name), name=f"webhook {name}")
                await self._pulse.wait(LOOK_FOR_LEASE_S)
        finally:
            for task in tasks.values():
                task.cancel()
            await asyncio.gather(*tasks.values(), return_exceptions=True)

    def _serves(self, subscription: S) -> bool:
        # Signed with another key than the one whose secret the subscriber was shown, nothing would verify.
        return self._ready() and subscription.key_id == self._key_id

    async def _serve(self, name: str) -> None:
        while True:
            beats = self._pulse.beats
            try:
                wait_s = await self._step(name)
            except RuntimeFault as error:
                _log.warning("webhook waits for Kafka", subscription=name, reason=str(error))
                await self._clock.sleep(STORE_AGAIN_S)
                continue
            except Exception:  # noqa: BLE001 - whatever it is, it is logged, and the subscription goes on being served
                # Ends here, but not before a while: `run` begins anew, which is no reason to flood the receiver.
                _log.exception("webhook broke", subscription=name)
                await self._clock.sleep(BROKEN_S)
                return
            if wait_s:
                await self._wait(beats, wait_s)

    async def _step(self, name: str) -> float:
        """Store what is new, or try what is due; return how long there is nothing to do."""
        subscription = self._subscriptions.get(name)
        if subscription is None:
            return LOOK_AGAIN_S
        held, now = self._subscriptions.progress(name), self._clock.now()
        news = await self._news(subscription, held)
        progress = held.offer(news.messages, subscription.replay, now, self._remains, news.position)
        if progress is not held:
            await self._subscriptions.advance(name, progress)
            return 0.0
        message = progress.due(now, self._kept)
        if message is None:
            return _wait_s(progress, now)
        await self._try(subscription, progress, message)
        return 0.0

    async def _try(self, subscription: S, progress: Progress, message: Message) -> None:
        secrets = self._secrets(subscription, self._clock.now())
        answer = await self._sender.send(subscription.url, secrets, message)
        after = progress.after(message, answer, self._clock.now(), self._rng.random())
        outcome = after.log[-1].outcome
        self.attempts[outcome] += 1
        _log.info(
            f"webhook {outcome}",
            subscription=subscription.id,
            message=message.id,
            status=answer.status,
            reason=answer.detail,
        )
        while True:
            with suppress(PublishError):
                await self._subscriptions.advance(subscription.id, after)
                return
            await self._clock.sleep(STORE_AGAIN_S)

    async def _wait(self, beats: int, seconds: float) -> None:
        waits: list[asyncio.Future[object]] = [
            asyncio.ensure_future(self._pulse.until(lambda: self._pulse.beats != beats, LOOK_AGAIN_S)),
            asyncio.ensure_future(self._clock.sleep(seconds)),
        ]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()


def _wait_s(progress: Progress, now: datetime) -> float:
    """Return how long there is nothing to do, though nothing beats."""
    if not progress.pending or progress.condition is not Condition.ACTIVE:
        return LOOK_AGAIN_S
    left = progress.next_at
    return max(0.001, (left - now).total_seconds()) if left and left > now else LOOK_AT_KEPT_S
