"""The disk snapshot: what is known outlives the process, so that the service starts without Kafka."""

from __future__ import annotations

from pathlib import Path

import structlog
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from flag_service.adapters.letters import Letters
from flag_service.domain.history import History
from flag_service.domain.switchboard import Switchboard
from resilience_contracts import LevelChanged, Saved
from resilience_runtime.clock import Clock
from resilience_runtime.pulse import Pulse
from resilience_runtime.snapshot import Snapshot

FILE = "flag-service.json"
PAUSE_S = 1.0
CHANGES_KEPT = 200

_log = structlog.get_logger(__name__)


class Kept(BaseModel):
    """The content of the file."""

    model_config = ConfigDict(frozen=True)

    view: Saved
    changes: tuple[LevelChanged, ...]
    letters: dict[str, int] = Field(default_factory=dict)


class Keeper:
    """Reads the snapshot once, and writes it after changes, once a second at most."""

    def __init__(
        self,
        state_dir: Path,
        *,
        switchboard: Switchboard,
        history: History,
        letters: Letters,
        pulse: Pulse,
        clock: Clock,
    ) -> None:
        self._file = Snapshot(state_dir / FILE)
        self._switchboard = switchboard
        self._history = history
        self._letters = letters
        self._pulse = pulse
        self._clock = clock

    def restore(self) -> None:
        """Begin with what the file says, or with nothing."""
        kept = self._read()
        for change in kept.changes if kept else ():
            self._history.add(change)
        self._letters.places = dict(kept.letters) if kept else {}
        self._switchboard.start(self._clock.now(), kept.view if kept else None)

    async def run(self) -> None:
        """Write after changes, for ever, and once more at the end."""
        written = 0
        try:
            while True:
                while self._pulse.beats == written:
                    await self._pulse.wait(None)
                await self._clock.sleep(PAUSE_S)
                written = self._pulse.beats
                await self._file.save(self._content())
        finally:
            self._write_last()

    def _write_last(self) -> None:
        try:
            self._file.write(self._content())
        except OSError as error:
            _log.warning("snapshot not written", path=str(self._file.path), reason=str(error))

    def _content(self) -> bytes:
        kept = Kept(
            view=self._switchboard.save(),
            changes=self._history.save(CHANGES_KEPT),
            letters=self._letters.places,
        )
        return kept.model_dump_json().encode()

    def _read(self) -> Kept | None:
        data = self._file.read()
        if data is None:
            return None
        try:
            return Kept.model_validate_json(data)
        except ValidationError as error:
            _log.warning("snapshot not understood", path=str(self._file.path), faults=error.error_count())
            return None
