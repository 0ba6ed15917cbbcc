"""Subscriptions of webhooks and the progress of each, as the topic has them; the only writer of both."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar
from uuid import uuid4

from pydantic import TypeAdapter, ValidationError

from resilience_runtime.bus import BadMessage, EventPublisher, Message, PublishError
from resilience_runtime.clock import Clock
from resilience_runtime.pulse import Pulse

from .webhook import Condition, Progress, Subscription

CAPACITY = 100
READ_BACK_S = 2.0
SUBSCRIPTION, PROGRESS = "subscription", "progress"
HEADERS = (("content-type", b"application/json"),)

_PROGRESS = TypeAdapter(Progress)

S = TypeVar("S", bound=Subscription)
T = TypeVar("T")


class TooManySubscriptionsError(Exception):
    """There are as many subscriptions as there may be."""


class Subscriptions(Generic[S]):
    """State has one way in, the topic: whoever writes waits until the record has been read back.

    Args:
        topic: compacted, with one partition.
        kind: what the service makes of a subscription.
        key_id: names the signing key of this replica.
    """

    def __init__(
        self,
        topic: str,
        kind: type[S],
        *,
        publisher: EventPublisher,
        clock: Clock,
        pulse: Pulse,
        key_id: str,
    ) -> None:
        self._topic = topic
        self._kind = kind
        self._adapter: TypeAdapter[S] = TypeAdapter(kind)
        self._publisher = publisher
        self._clock = clock
        self._pulse = pulse
        self._key_id = key_id
        self._subscriptions: dict[str, S] = {}
        self._progress: dict[str, Progress] = {}

    def apply(self, message: Message) -> None:
        """Take one record of the topic."""
        kind, _, name = (message.key or b"").decode("utf-8", "replace").partition("/")
        if kind == SUBSCRIPTION:
            _keep(self._subscriptions, name, message.value, self._adapter)
        elif kind == PROGRESS:
            self._apply_progress(name, message.value)
        else:
            raise BadMessage("the key is `subscription/id` or `progress/id`")
        self._pulse.beat()

    def _apply_progress(self, name: str, value: bytes | None) -> None:
        held = self._progress.get(name)
        _keep(self._progress, name, value, _PROGRESS)
        # A replica that no longer delivers but does not know it yet may still write: what it had is older.
        if held and value and self._progress[name].revision <= held.revision:
            self._progress[name] = held

    def begin(self) -> None:
        """Prepare for the topic to be read from its start."""
        self._subscriptions.clear()
        self._progress.clear()

    def all(self) -> list[S]:
        """Return every subscription, oldest first."""
        return sorted(self._subscriptions.values(), key=lambda subscription: subscription.created_at)

    def get(self, name: str) -> S | None:
        """Return a subscription, if there is one."""
        return self._subscriptions.get(name)

    def progress(self, name: str) -> Progress:
        """Return how far a subscriber has been told."""
        return self._progress.get(name) or Progress()

    @property
    def failing(self) -> int:
        """Return how many were not told at the last attempt, or were given up."""
        known = map(self.progress, self._subscriptions)
        return sum(bool(one.failing_since or one.condition is not Condition.ACTIVE) for one in known)

    def draft(self, url: str, actor: str, name: str | None = None, **wanted: Any) -> S:
        """Make a new subscription, which is not stored yet.

        Args:
            url: of the endpoint.
            actor: who subscribes.
            name: its id; by default a random one.
            wanted: what the service's kind of subscription has besides.

        Raises:
            TooManySubscriptionsError: there are 100.
        """
        if len(self._subscriptions) >= CAPACITY:
            raise TooManySubscriptionsError
        return self._kind(
            id=name or f"wh_{uuid4().hex}",
            url=url,
            created_at=self._clock.now(),
            created_by=actor,
            key_id=self._key_id,
            **wanted,
        )

    async def store(self, subscription: S) -> None:
        """Store what is subscribed to.

        Raises:
            PublishError: Kafka did not store it in time.
        """
        key = f"{SUBSCRIPTION}/{subscription.id}".encode()
        value = self._adapter.dump_json(subscription)
        await self._publisher.publish(self._topic, key, value, HEADERS)
        await self._read_back(lambda: self._subscriptions.get(subscription.id) == subscription)

    async def remove(self, name: str) -> None:
        """End a subscription.

        Raises:
            PublishError: Kafka did not store it in time.
        """
        for kind in (SUBSCRIPTION, PROGRESS):
            await self._publisher.publish(self._topic, f"{kind}/{name}".encode(), None)
        await self._read_back(lambda: name not in self._subscriptions)

    async def advance(self, name: str, progress: Progress) -> None:
        """Store how far a subscriber has been told; of one that is no more, nothing.

        Raises:
            PublishError: Kafka did not store it in time, or it was not read back.
        """
        if name not in self._subscriptions:
            return
        value = _PROGRESS.dump_json(progress)
        await self._publisher.publish(self._topic, f"{PROGRESS}/{name}".encode(), value, HEADERS)
        if not await self._read_back(lambda: self.progress(name).revision >= progress.revision):
            raise PublishError("the progress of a webhook was not read back")

    async def _read_back(self, condition: Callable[[], bool]) -> bool:
        return await self._pulse.until(condition, READ_BACK_S)


def _keep(found: dict[str, T], name: str, value: bytes | None, adapter: TypeAdapter[T]) -> None:
    if value is None:
        found.pop(name, None)
        return
    try:
        found[name] = adapter.validate_json(value)
    except ValidationError as error:
        raise BadMessage(f"not a record of webhooks: {error.error_count()} fault(s)") from error
