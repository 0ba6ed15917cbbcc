"""From the topics of levels and holds into the view, and the view to disk and back."""

from __future__ import annotations

import asyncio

import structlog
from pydantic import ValidationError

from resilience_contracts import (
    Applied,
    CodecError,
    HoldSet,
    LevelState,
    Saved,
    Topic,
    UnknownEventError,
    View,
    decode,
)
from resilience_runtime import BadMessage, Message, Snapshot

log = structlog.get_logger(__name__)

TOPICS = (Topic.LEVELS, Topic.HOLDS)


class LevelFeed:
    """Keeps a view up to date, and on disk for the next start."""

    def __init__(self, view: View, snapshot: Snapshot) -> None:
        self._view = view
        self._snapshot = snapshot
        self._changed = asyncio.Event()
        self.restored = False

    def restore(self) -> None:
        """Take what the last process of this replica knew."""
        content = self._snapshot.read()
        if content is None:
            return
        try:
            self._view.restore(Saved.model_validate_json(content))
        except ValidationError:
            log.warning("saved level not understood", path=str(self._snapshot.path))
            return
        self.restored = True

    def apply(self, message: Message) -> None:
        """Take one record.

        Raises:
            BadMessage: it is no level state and no hold.
        """
        if self._take(message) is not Applied.OLDER:
            self._changed.set()

    def forget(self) -> None:
        """Prepare for everything to be read again."""
        self._view.forget_holds()

    async def keep(self) -> None:
        """Write the view to disk after each change, for ever."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            await self._snapshot.save(self._view.save().model_dump_json().encode())

    def _take(self, message: Message) -> Applied:
        if message.value is None and message.topic == Topic.HOLDS:
            return self._view.end_hold((message.key or b"").decode(errors="replace"), message.headers)
        try:
            event = decode(message.value, message.headers).event
        except (CodecError, UnknownEventError) as error:
            raise BadMessage(str(error)) from error
        if isinstance(event, LevelState):
            return self._apply_level(event)
        if isinstance(event, HoldSet):
            return self._view.apply_hold(event)
        raise BadMessage(f"{event.type} does not belong on {message.topic}")

    def _apply_level(self, state: LevelState) -> Applied:
        applied = self._view.apply_level(state)
        if applied is Applied.CHANGED:
            log.info(
                "level",
                scope=state.scope,
                level=state.level,
                version=str(state.version.ordered()),
                cause=state.cause,
            )
            if state.policy_sha256 != self._view.policy.sha256:
                log.warning(
                    "the engine follows another policy", scope=state.scope, policy_sha256=state.policy_sha256
                )
        return applied
