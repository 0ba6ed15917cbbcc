"""Imports: a file is checked as a whole, then taken as a whole or row by row, or only checked."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from itertools import islice
from tempfile import SpooledTemporaryFile
from typing import Protocol

from inventory_api.domain.errors import InventoryError
from inventory_api.domain.gate import Action, Behaviour
from inventory_api.domain.import_row import ImportRow, RowError

from .csv_file import Delimiter, read_rows
from .switches import Switches

CHUNK = 2_000
DIGEST_BYTES = 1 << 20
REDUCED_ROWS = 100
ERRORS_TOLD = 100


class ImportMode(StrEnum):
    """ATOMIC takes every row or none; BEST_EFFORT takes those that can be taken."""

    ATOMIC = "atomic"
    BEST_EFFORT = "best_effort"


class ImportState(StrEnum):
    """Where an import stands. INTERRUPTED: its process ended; of an atomic one nothing was taken."""

    RUNNING = "running"
    APPLIED = "applied"
    CHECKED = "checked"
    REFUSED = "refused"
    INTERRUPTED = "interrupted"


class UnknownImportError(InventoryError):
    """No such import."""

    code = "import_not_found"


class TooManyRowsError(InventoryError):
    """Now a file may have at most 100 rows: bulk operations are reduced at this level."""

    code = "too_many_rows"


@dataclass(frozen=True, slots=True)
class Wish:
    """What is asked for, by whom, under which Idempotency-Key, of a file with which digest."""

    mode: ImportMode
    dry_run: bool
    actor: str
    key: str | None
    sha256: str


@dataclass(frozen=True, slots=True)
class Import:
    """An import and what became of its rows. `errors` are the first of the `failed`."""

    id: str
    state: ImportState
    mode: ImportMode
    dry_run: bool
    rows: int
    changed: int
    unchanged: int
    failed: int
    errors: tuple[RowError, ...]
    created_at: datetime
    finished_at: datetime | None


@dataclass(slots=True)
class Faults:
    """The rows that are wrong: how many, and the first of them."""

    number: int = 0
    first: list[RowError] = field(default_factory=list)

    def add(self, error: RowError) -> None:
        """Note one."""
        self.number += 1
        if len(self.first) < ERRORS_TOLD:
            self.first.append(error)


Spooled = SpooledTemporaryFile[bytes]
Chunks = AsyncIterator[list[ImportRow]]


class ImportStore(Protocol):
    """Where imports are done. Raises `UnavailableError` and `BusyError`."""

    async def run(self, wish: Wish, chunks: Chunks, faults: Faults) -> Import:
        """Do an import; rows that turn out wrong are added to `faults`.

        Raises:
            KeyReusedError, KeyInFlightError: as for any request.
            UnreadableFileError, TooManyRowsError: from `chunks`; nothing is taken.
        """
        ...

    async def find(self, import_id: str) -> Import | None:
        """Return an import as it stands."""
        ...


class Imports:
    """Takes files of rows."""

    def __init__(self, store: ImportStore, switches: Switches, changed: Callable[[], None]) -> None:
        self._store = store
        self._switches = switches
        self._changed = changed

    async def run(self, file: Spooled, delimiter: Delimiter, wish: Wish) -> Import:
        """Import a file.

        Raises:
            FeatureRefusedError: bulk operations are off.
            UnreadableFileError, TooManyRowsError: nothing is taken.
        """
        most = REDUCED_ROWS if self._switches.admit(Action.BULK) is Behaviour.REDUCED else None
        faults = Faults()
        done = await self._store.run(wish, _chunks(file, delimiter, faults, most), faults)
        self._changed()
        return done

    async def show(self, import_id: str) -> Import:
        """Return an import.

        Raises:
            UnknownImportError: there is none.
        """
        found = await self._store.find(import_id)
        if found is None:
            raise UnknownImportError
        return found


def digest_of(file: Spooled) -> str:
    """Return the SHA-256 of a file, and rewind it. Blocks."""
    file.seek(0)
    digest = hashlib.sha256()
    while block := file.read(DIGEST_BYTES):
        digest.update(block)
    file.seek(0)
    return digest.hexdigest()


async def _chunks(file: Spooled, delimiter: Delimiter, faults: Faults, most: int | None) -> Chunks:
    rows, seen = read_rows(file, delimiter), 0
    while chunk := await asyncio.to_thread(_take, rows):
        seen += len(chunk)
        if most is not None and seen > most:
            raise TooManyRowsError
        for row in chunk:
            if isinstance(row, RowError):
                faults.add(row)
        yield [row for row in chunk if isinstance(row, ImportRow)]


def _take(rows: Iterator[ImportRow | RowError]) -> list[ImportRow | RowError]:
    return list(islice(rows, CHUNK))
