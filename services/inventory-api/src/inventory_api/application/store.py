"""The port to the authority for stock and holds.

Every method may raise `UnavailableError` (it does not answer within its deadline, or is known not to) or
`BusyError` (too many wait for it). What ran in a transaction that raised did not happen, except that an
`UnavailableError` at commit leaves the outcome unknown.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from inventory_api.domain.adjustment import Adjustment, LedgerEntry
from inventory_api.domain.count import Since
from inventory_api.domain.operation import Operation
from inventory_api.domain.reservation import HeldLine, Reservation, Settlement
from inventory_api.domain.sku import Location, NewLocation, NewSku, Sku
from inventory_api.domain.stock import LowLevel, Place, Stock, StockLevel
from inventory_api.domain.transfer import NewTransfer, Transfer

REFUSED_FROM = 400


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer as it is kept for whoever repeats the request."""

    status: int
    headers: Mapping[str, str]
    body: str

    @property
    def refused(self) -> bool:
        """Whether it says no, so that nothing was done."""
        return self.status >= REFUSED_FROM

    @property
    def code(self) -> str:
        """The problem's code of one that says no."""
        return str(json.loads(self.body)["code"])


@dataclass(frozen=True, slots=True)
class Kept:
    """A kept answer and the digest of the request it belongs to."""

    request_sha256: str
    answer: Answer


class Catalogue(Protocol):
    """SKUs and locations."""

    async def add_sku(self, new: NewSku) -> Sku:
        """Add a SKU.

        Raises:
            SkuExistsError: one with this text exists, in whatever case.
        """

    async def skus(self, after: str, limit: int) -> list[Sku]:
        """Return up to `limit` SKUs that sort after a text, by code point."""

    async def known_skus(self, skus: Sequence[str]) -> set[str]:
        """Return which of these exist."""

    async def add_location(self, new: NewLocation) -> Location:
        """Add a location.

        Raises:
            LocationExistsError: one with this code exists, in whatever case.
        """

    async def locations(self, after: str, limit: int) -> list[Location]:
        """Return up to `limit` locations whose code sorts after a text, by code point."""

    async def known_locations(self, codes: Sequence[str]) -> set[str]:
        """Return which of these exist."""


class Levels(Protocol):
    """The counters. Rows are locked in the order of their id, by whoever locks any."""

    async def stock(self, skus: Sequence[str], as_of: datetime) -> dict[str, Stock]:
        """Return the stock of those SKUs that exist, without locks, leaving out holds whose time is over.

        Args:
            skus: exact texts.
            as_of: the caller's time before the call, to label the result with.
        """

    async def low(self, after_id: int, limit: int) -> list[LowLevel]:
        """Return up to `limit` levels at or under their reorder point, with an id above `after_id`."""

    async def open(self, place: Place) -> None:
        """Make sure that a known SKU has a level at a known location."""

    async def lock(self, places: Sequence[Place]) -> dict[Place, StockLevel]:
        """Lock the levels that exist, give back what expired holds keep of them, and return them."""

    async def lock_reservation(self, reservation_id: str) -> tuple[Reservation, datetime] | None:
        """Lock a reservation and the levels of its lines; None when there is none.

        Returns it with the authority's time after that.
        """

    async def hold(self, quantities: Mapping[int, int]) -> bool:
        """Reserve so much of each locked level, by its id; False when one has too little: then roll back."""

    async def change(self, level_id: int, adjustment: Adjustment) -> LedgerEntry:
        """Change a locked level's on hand and write its ledger row.

        Raises:
            InsufficientStockError, QuantityOutOfRangeError: as `check_change` says.
        """

    async def expect(self, level_id: int, delta: int) -> None:
        """Change what is incoming of a locked level."""

    async def set_thresholds(
        self, level_id: int, safety_stock: int, reorder_point: int, backorder_limit: int
    ) -> None:
        """Write the thresholds of a locked level."""


class Reservations(Protocol):
    """Holds and their lines."""

    async def add(self, owner_ref: str, lines: Sequence[HeldLine], ttl_s: int) -> Reservation:
        """Add a reservation for stock that `Levels.hold` took; its time runs by the authority's clock."""

    async def hold_plainly(
        self, owner_ref: str, place: Place, quantity: int, ttl_s: int
    ) -> Reservation | None:
        """Take stock of one place and add the reservation, in one step.

        None says that nothing was done: the place has too little, or no level, or expired holds to tidy. `Levels.lock`
        finds out which.
        """

    async def find(self, reservation_id: str) -> tuple[Reservation, datetime] | None:
        """Return a reservation and the authority's time, without locks."""

    async def settle_plainly(
        self, reservation_id: str, settlement: Settlement, actor: str
    ) -> tuple[Reservation, datetime] | None:
        """Confirm or release an ACTIVE hold of one place whole, with the row of its sale, in one step.

        None says that nothing was done: there is more to it. `Levels.lock_reservation` finds out what.
        """

    async def settle(
        self, reservation: Reservation, settlement: Settlement, quantities: Mapping[int, int]
    ) -> None:
        """Move quantities, by level id, of a locked reservation from held to confirmed or released.

        The levels' reserved counters follow. `reservation` is as it is after that; its state is written.
        """

    async def extend(self, reservation_id: str, ttl_s: int) -> datetime:
        """Let a locked reservation last `ttl_s` from now, never shorter than before; return until when."""

    async def expire(self, reservation_id: str) -> None:
        """Give back what a locked reservation still holds, and close it as EXPIRED."""


class Ledger(Protocol):
    """What changed, append only."""

    async def entries(
        self, sku: str | None, location: str | None, after_id: int, limit: int
    ) -> list[LedgerEntry]:
        """Return up to `limit` rows with an id above `after_id`, of a SKU, a location or all."""

    async def since(self, level_id: int, moment: datetime) -> Since:
        """Sum up what happened to a locked level after a moment, by `occurred_at`."""

    async def sold(self, level_id: int, reservation_id: str | None, reference: str | None) -> int:
        """Return what of a locked level was sold and has not come back.

        By the reservation, or else by the reference of sales without one.
        """

    async def note_batch(self, batch_id: str, *, atomic: bool, asked: int, done: int) -> None:
        """Note how many rows a batch had, and how many were done."""


class Transfers(Protocol):
    """Stock on its way. A transfer is locked before the levels that its step changes."""

    async def add(self, new: NewTransfer) -> Transfer:
        """Add a draft; its SKUs and locations are known to exist."""

    async def find(self, transfer_id: str, *, lock: bool = False) -> Transfer | None:
        """Return a transfer, locked if wanted."""

    async def save(self, transfer: Transfer) -> None:
        """Write the state and the lines of a locked transfer."""


class Answers(Protocol):
    """Answers kept for repeated requests."""

    async def claim(self, caller: str, key: str, *, wait: bool = False) -> Kept | None:
        """Make this transaction the one that answers a key, and return the answer if it exists already.

        Args:
            caller: whose key it is.
            key: the Idempotency-Key.
            wait: wait for another transaction that has it, instead of raising.

        Raises:
            KeyInFlightError: another transaction has it.
        """

    async def keep(self, caller: str, key: str, kept: Kept) -> None:
        """Keep the answer to a claimed key."""


class Commands(Protocol):
    """What became of the command log."""

    async def operation(self, command_id: str) -> Operation | None:
        """Return the outcome of a command that has been taken out of the log."""

    async def finish(self, operation: Operation, command_json: str) -> None:
        """Write the outcome of a command; one that is there already stays."""

    async def exceptions(self, after: str, limit: int) -> list[Operation]:
        """Return up to `limit` commands that wait for a person, with an id above `after`."""

    async def offsets(self) -> dict[int, int]:
        """Return the next offset to be applied of each partition that has any progress, without locks."""

    async def lock_offset(self, partition: int) -> int:
        """Lock a partition's progress and return the next offset to be applied."""

    async def move_offset(self, partition: int, next_offset: int) -> None:
        """Write a partition's progress."""


class Transaction(Protocol):
    """All or nothing."""

    catalogue: Catalogue
    levels: Levels
    reservations: Reservations
    ledger: Ledger
    transfers: Transfers
    answers: Answers
    commands: Commands

    async def now(self) -> datetime:
        """Return the authority's time at this instant (not at the transaction's start)."""

    def savepoint(self) -> AbstractAsyncContextManager[None]:
        """Undo what was done inside when the block raises, and go on."""


class Store(Protocol):
    """Where transactions come from."""

    def transaction(self, *, first: bool = False) -> AbstractAsyncContextManager[Transaction]:
        """Begin, `first` before others that wait to; commit when the block ends, roll back when it raises."""

    def single(self, *, first: bool = False) -> AbstractAsyncContextManager[Transaction]:
        """Begin what has one step alone, which is then committed by itself, without asking for it."""

    def reading(self) -> AbstractAsyncContextManager[Transaction]:
        """Begin a transaction for reads, counted against the cap on concurrent reads."""
