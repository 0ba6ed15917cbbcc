"""The level changes of each scope, newest last, as many as are kept."""

from __future__ import annotations

from collections import deque

from resilience_contracts import LevelChanged

HISTORY_CAPACITY = 1_000


class History:
    """A ring of level changes for each scope; a change heard twice is kept once."""

    def __init__(self, capacity: int = HISTORY_CAPACITY) -> None:
        self._capacity = capacity
        self._changes: dict[str, deque[LevelChanged]] = {}
        self.revision = 0

    def add(self, change: LevelChanged) -> bool:
        """Keep a change; False when it is not newer than the newest of its scope, or repeats it."""
        changes = self._changes.setdefault(change.scope, deque(maxlen=self._capacity))
        if changes and (
            changes[-1].version.ordered() >= change.version.ordered() or change.repeats(changes[-1])
        ):
            return False
        changes.append(change)
        self.revision += 1
        return True

    def newest(self, scope: str, limit: int) -> list[LevelChanged]:
        """Return the last changes of a scope, newest first."""
        return list(self._changes.get(scope, ()))[::-1][:limit]

    def save(self, limit: int) -> tuple[LevelChanged, ...]:
        """Return the last changes of every scope, oldest first within a scope."""
        return tuple(change for scope in sorted(self._changes) for change in self.newest(scope, limit)[::-1])
