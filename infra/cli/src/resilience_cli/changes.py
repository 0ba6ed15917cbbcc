"""The last changes of level, for watch."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from resilience_contracts import CodecError, LevelChanged, Topic, UnknownEventError, decode
from resilience_runtime.bus import BadMessage, Message
from resilience_runtime.ending import end
from resilience_runtime.kafka.access import KafkaAccess
from resilience_runtime.kafka.replica import ReplicaReader

KEPT = 8
"""Of each scope."""
SINCE_S = 24 * 3600.0


class RecentChanges:
    """Changes by scope; one that a restarted engine said twice counts once."""

    def __init__(self) -> None:
        self._by_scope: defaultdict[str, dict[tuple[int, int], LevelChanged]] = defaultdict(dict)

    def apply(self, message: Message) -> None:
        """Take a record of the changes topic.

        Raises:
            BadMessage: it is no change of level.
        """
        try:
            event = decode(message.value, message.headers).event
        except (CodecError, UnknownEventError) as error:
            raise BadMessage(str(error)) from error
        if not isinstance(event, LevelChanged):
            raise BadMessage(f"a {event.type} is no change of level")
        known = self._by_scope[event.scope]
        known[event.version.epoch, event.version.counter] = event
        for old in sorted(known)[:-KEPT]:
            del known[old]

    def forget(self) -> None:
        """Prepare for everything to be read again."""
        self._by_scope.clear()

    def newest(self, scope: str) -> list[LevelChanged]:
        """Return the changes of a scope that are kept, newest first."""
        known = self._by_scope.get(scope, {})
        return [known[version] for version in sorted(known, reverse=True)]


@asynccontextmanager
async def followed_changes(kafka: KafkaAccess) -> AsyncIterator[RecentChanges]:
    """Give the changes of the last day, which come in while inside; they may come after the level itself."""
    changes = RecentChanges()
    reader = ReplicaReader(kafka, (Topic.LEVEL_CHANGES,), changes.apply, changes.forget, since_s=SINCE_S)
    running = asyncio.create_task(reader.run())
    try:
        yield changes
    finally:
        await end(running)
