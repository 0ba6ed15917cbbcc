"""From the command log into the backlog that every replica keeps, and how long its oldest command has waited."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime

from inventory_api.application.commands import Backlog
from inventory_api.application.errors import BusyError, UnavailableError
from inventory_api.application.store import Store
from resilience_contracts import AdjustmentCommand, CodecError, CountCommand, UnknownEventError, decode
from resilience_runtime import Clock, Message

POLL_S = 1.0
MOST = 50_000
"""Waiting commands that a partition is watched for; of more, the newest."""


class BacklogWatch:
    """Reads the log as every replica does, and the progress of whoever applies it.

    Every replica watches, because the engine believes the middle one of their reports.
    """

    def __init__(self, backlog: Backlog, store: Store, clock: Clock) -> None:
        self._backlog = backlog
        self._store = store
        self._clock = clock
        self._waiting: dict[int, deque[tuple[int, datetime]]] = {}
        self._known = False

    def apply(self, message: Message) -> None:
        """Take a record; what is no command is the applier's to refuse."""
        try:
            event = decode(message.value, message.headers).event
        except (CodecError, UnknownEventError):
            return
        if isinstance(event, AdjustmentCommand | CountCommand):
            self._backlog.note(event)
            waiting = self._waiting.setdefault(message.partition, deque(maxlen=MOST))
            waiting.append((message.offset, event.accepted_at))

    def forget(self) -> None:
        """Prepare for everything to be read again."""
        self._waiting.clear()

    def age_s(self) -> float | None:
        """Return how long the oldest command waits, 0 without any; None before the progress was ever seen."""
        if not self._known:
            return None
        oldest = min((waiting[0][1] for waiting in self._waiting.values() if waiting), default=None)
        return max(0.0, (self._clock.now() - oldest).total_seconds()) if oldest else 0.0

    def waiting(self) -> int | None:
        """Return how many commands wait; None before the progress was ever seen."""
        return sum(map(len, self._waiting.values())) if self._known else None

    async def run(self) -> None:
        """Follow the progress for ever."""
        while True:
            with suppress(UnavailableError, BusyError):
                await self.look()
            await self._clock.sleep(POLL_S)

    async def look(self) -> None:
        """Read the progress once.

        Raises:
            UnavailableError, BusyError: the authority does not say.
        """
        async with self._store.reading() as transaction:
            self._pass(await transaction.commands.offsets())

    def _pass(self, offsets: Mapping[int, int]) -> None:
        for partition, waiting in self._waiting.items():
            while waiting and waiting[0][0] < offsets.get(partition, 0):
                waiting.popleft()
        self._known = True
