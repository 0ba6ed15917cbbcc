"""Exports of stock as CSV: streamed to whoever asks, or written to S3 when both stores are there."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from tempfile import SpooledTemporaryFile
from typing import Protocol

import structlog

from inventory_api.domain.errors import InventoryError
from inventory_api.domain.spreadsheet import neutralise
from resilience_runtime import Clock

from .errors import BusyError, UnavailableError
from .switches import Switches

log = structlog.get_logger(__name__)

POLL_S = 2.0
LINK_S = 3600
MOST_REST_S = 600.0
"""What failed rests, longer each time, so that it neither holds up the others nor is S3 blamed for it alone."""
SPOOLED_BYTES = 1 << 20
COLUMNS = (
    "sku",
    "location",
    "on_hand",
    "name",
    "category",
    "unit_cost",
    "safety_stock",
    "reorder_point",
    "reserved",
    "available",
    "incoming",
)
"""Those that an import takes, then those that it leaves alone."""

Cell = str | int | Decimal | None
Rows = AsyncIterator[list[Sequence[Cell]]]


class UnknownExportError(InventoryError):
    """No such export."""

    code = "export_not_found"


class ExportState(StrEnum):
    """WAITING until the database and S3 are there."""

    WAITING = "waiting"
    DONE = "done"


@dataclass(frozen=True, slots=True)
class Export:
    """An export to S3. `rows` and `bytes` are known once it is done."""

    id: str
    state: ExportState
    location: str | None
    rows: int | None
    bytes: int | None
    created_at: datetime
    finished_at: datetime | None


class Job(Protocol):
    """A waiting export that this process has taken; nobody else has it until the block ends."""

    export: Export

    def rows(self) -> Rows:
        """Give the levels in chunks, as of one instant."""
        ...

    async def done(self, rows: int, size: int) -> None:
        """Write that it is in S3."""
        ...


class ExportStore(Protocol):
    """Where exports and their rows come from. Raises `UnavailableError` and `BusyError`."""

    def rows(self, location: str | None) -> Rows:
        """Give the levels in chunks, as of one instant, in the order of their id."""
        ...

    async def add(self, actor: str, key: str | None, location: str | None) -> Export:
        """Add an export that waits; the same key gives the same one."""
        ...

    async def find(self, export_id: str) -> Export | None:
        """Return an export."""
        ...

    def take(self, but: Collection[str]) -> AbstractAsyncContextManager[Job | None]:
        """Take the oldest export that waits and is none of these, if there is one."""
        ...


class Shelf(Protocol):
    """Where finished files lie. Raises `UnavailableError`."""

    async def keep_file(self, name: str, file: SpooledTemporaryFile[bytes]) -> None:
        """Keep a CSV file."""
        ...

    async def link(self, name: str, valid_s: int) -> str:
        """Return an address that anybody can read it at for so long."""
        ...


@dataclass(slots=True)
class _Rest:
    """How long an export that failed here rests."""

    until_s: float = 0.0
    next_s: float = POLL_S


class Exports:
    """Gives stock as CSV."""

    def __init__(self, store: ExportStore, shelf: Shelf, switches: Switches, clock: Clock) -> None:
        self._store = store
        self._shelf = shelf
        self._switches = switches
        self._clock = clock
        self._rests: dict[str, _Rest] = {}

    def stream(self, location: str | None) -> AsyncIterator[bytes]:
        """Give the file in pieces; the first piece comes only when the database answers."""
        return _lines(self._store.rows(location))

    async def add(self, actor: str, key: str | None, location: str | None) -> Export:
        """Ask for a file in S3."""
        return await self._store.add(actor, key, location)

    async def show(self, export_id: str) -> tuple[Export, str | None]:
        """Return an export and, when it is done and S3 is there, a link to it.

        Raises:
            UnknownExportError: there is none.
        """
        found = await self._store.find(export_id)
        if found is None:
            raise UnknownExportError
        if found.state is ExportState.WAITING:
            return found, None
        return found, await self._shelf.link(_name(found), LINK_S)

    async def run(self) -> None:
        """Write what waits, for ever; while the feature is off, or a store away, it waits on."""
        while True:
            await self._clock.sleep(POLL_S)
            if self._switches.down("postgresql") or self._switches.down("s3"):
                continue
            try:
                while await self.write_one():
                    pass
            except (UnavailableError, BusyError) as error:
                log.info("exports wait", reason=str(error))

    async def write_one(self) -> bool:
        """Write the oldest export that waits and does not rest to S3; False when there is none."""
        now_s = self._clock.monotonic()
        resting = [name for name, rest in self._rests.items() if now_s < rest.until_s]
        async with self._store.take(resting) as job:
            if job is None:
                return False
            try:
                await self._write(job)
            except Exception:
                rest = self._rests.setdefault(job.export.id, _Rest())
                rest.until_s = self._clock.monotonic() + rest.next_s
                rest.next_s = min(MOST_REST_S, rest.next_s * 2)
                raise
            self._rests.pop(job.export.id, None)
            return True

    async def _write(self, job: Job) -> None:
        number = -1
        with SpooledTemporaryFile(SPOOLED_BYTES) as file:
            async for piece in _lines(job.rows()):
                file.write(piece)
                number += piece.count(b"\r\n")
            size = file.tell()
            file.seek(0)
            await self._shelf.keep_file(_name(job.export), file)
        await job.done(number, size)


def _name(export: Export) -> str:
    return f"exports/{export.id}.csv"


async def _lines(chunks: Rows) -> AsyncIterator[bytes]:
    yield _csv([COLUMNS])
    async for chunk in chunks:
        yield _csv(chunk)


def _csv(rows: Sequence[Sequence[Cell]]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows([[_cell(cell) for cell in row] for row in rows])
    return text.getvalue().encode()


def _cell(cell: Cell) -> Cell:
    return neutralise(cell) if isinstance(cell, str) else cell
