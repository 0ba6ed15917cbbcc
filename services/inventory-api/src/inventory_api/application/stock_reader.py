"""One read path, used every day: memory, then the shared cache, then the authority.

When the authority is away, the same caches answer with what was last known, labelled, up to a hard age.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import Protocol

from inventory_api.domain.errors import InvalidSkuError, UnknownSkuError
from inventory_api.domain.gate import Action, Behaviour
from inventory_api.domain.sku import check_sku
from inventory_api.domain.stock import Stock
from resilience_contracts import Because
from resilience_runtime import Clock

from .errors import BusyError, UnavailableError
from .flights import Flights
from .store import Store
from .switches import Switches

_NEVER = datetime.min.replace(tzinfo=UTC)


class Layer(Enum):
    """Where an answer came from."""

    MEMORY = "memory"
    SHARED = "shared"
    AUTHORITY = "authority"
    LAST_KNOWN = "last_known"


class SharedCache(Protocol):
    """A cache that other replicas see too. Never raises; what fails is a miss."""

    async def get_many(self, skus: Sequence[str]) -> dict[str, Stock]:
        """Return what is there, of whatever age."""
        ...

    async def put_many(self, stocks: Iterable[Stock]) -> None:
        """Keep these."""
        ...


@dataclass(frozen=True, slots=True)
class Ages:
    """A fresh answer is younger than `soft_s`; a last known one at most `hard_s` old; `most` are kept."""

    soft_s: float
    hard_s: float
    most: int
    deadline_s: float


@dataclass(frozen=True, slots=True)
class Reading:
    """A SKU's stock, its age, and whether it is the last known rather than the present one."""

    stock: Stock
    age_s: float
    stale: bool


class StockMemory:
    """The newest stock seen of the SKUs asked for most recently."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._stocks: OrderedDict[str, Stock] = OrderedDict()
        self._changed: OrderedDict[str, datetime] = OrderedDict()
        self._all_changed = _NEVER

    def __len__(self) -> int:
        return len(self._stocks)

    def get(self, sku: str) -> Stock | None:
        """Return what is kept."""
        if sku in self._stocks:
            self._stocks.move_to_end(sku)
        return self._stocks.get(sku)

    def put(self, stock: Stock, now: datetime) -> None:
        """Keep this unless something newer is kept, whose time has come; the least recently used gives way."""
        sku = stock.sku.sku
        held = self._stocks.get(sku)
        if held is None or held.as_of <= stock.as_of or held.as_of > now:
            self._stocks[sku] = stock
        self._stocks.move_to_end(sku)
        if len(self._stocks) > self._most:
            self._stocks.popitem(last=False)

    def changed(self, sku: str, at: datetime) -> None:
        """Note that what was read before `at` is no longer the present, though still the last known."""
        self._changed[sku] = at
        self._changed.move_to_end(sku)
        if len(self._changed) > self._most:
            self._changed.popitem(last=False)

    def all_changed(self, at: datetime) -> None:
        """Note it of every SKU."""
        self._all_changed = at

    def changed_at(self, sku: str) -> datetime:
        """Return when a SKU was last changed by this process."""
        return max(self._changed.get(sku, _NEVER), self._all_changed)


class StockReader:
    """Reads stock for clients.

    Attributes:
        served: answers by layer, for metrics.
    """

    def __init__(
        self, store: Store, shared: SharedCache, switches: Switches, clock: Clock, ages: Ages
    ) -> None:
        self._store = store
        self._shared = shared
        self._switches = switches
        self._clock = clock
        self._ages = ages
        self._flights = Flights(self._fetch)
        self._puts: set[asyncio.Task[None]] = set()
        self._doubtful = False
        self.memory = StockMemory(ages.most)
        self.served = dict.fromkeys(Layer, 0)

    def changed(self, skus: Iterable[str]) -> None:
        """Be told of a change that this process has committed."""
        now = self._clock.now()
        for sku in skus:
            self.memory.changed(sku, now)

    def all_changed(self) -> None:
        """Be told of a change that may be of any SKU."""
        self.memory.all_changed(self._clock.now())

    @property
    def most(self) -> int:
        """How many SKUs are kept in this process."""
        return self._ages.most

    def at_hand(self, sku: str) -> Stock | None:
        """Return what `one` would return without waiting: present stock that is kept here; else None."""
        stock = self.memory.get(sku)
        if stock is None or not self._fresh(stock):
            return None
        if self._switches.behaviour(Action.READ_STOCK) is not Behaviour.SERVE:
            return None
        self.served[Layer.MEMORY] += 1
        return stock

    async def soon(self, sku: str) -> Stock | None:
        """Return what `one` would return of stock that was seen before, as `at_hand` or fetched anew; else None."""
        if self._doubtful or not self._usable(self.memory.get(sku)):
            return None
        if self._switches.behaviour(Action.READ_STOCK) is not Behaviour.SERVE:
            return None
        try:
            return (await self._load([sku])).get(sku)
        except (UnavailableError, BusyError):
            return None

    async def one(self, sku: str) -> Reading:
        """Return a SKU's stock; as `many`.

        Raises:
            UnknownSkuError: there is none.
        """
        try:
            found = await self.many([check_sku(sku)])
        except InvalidSkuError:
            raise UnknownSkuError from None
        if sku not in found:
            raise UnknownSkuError(f"there is no SKU {sku}")
        return found[sku]

    async def many(self, skus: Sequence[str]) -> dict[str, Reading]:
        """Return the stock of the SKUs that exist.

        Raises:
            FeatureRefusedError: availability is off, or the authority is away and nothing recent is known.
        """
        behaviour = self._switches.admit(Action.READ_STOCK)
        if behaviour is Behaviour.SERVE:
            return await self._present(list(dict.fromkeys(skus)))
        return await self._reduced(list(dict.fromkeys(skus)))

    async def _present(self, skus: list[str]) -> dict[str, Reading]:
        held = {sku: stock for sku in skus if (stock := self.memory.get(sku)) and self._fresh(stock)}
        self.served[Layer.MEMORY] += len(held)
        missing = [sku for sku in skus if sku not in held]
        if not missing:
            return self._readings(held, stale=False)
        if self._doubtful and all(self._usable(self.memory.get(sku)) for sku in missing):
            # Somebody has just waited for nothing; who can be answered does not wait, but asks.
            self._flights.join(missing)
            return self._readings(held, stale=False) | self._last_known(missing, None)
        try:
            loaded = await self._load(missing)
        except (UnavailableError, BusyError) as error:
            return self._readings(held, stale=False) | self._last_known(missing, error)
        return self._readings(held | loaded, stale=False)

    async def _reduced(self, skus: list[str]) -> dict[str, Reading]:
        unheld = [sku for sku in skus if not self._usable(self.memory.get(sku))]
        if unheld:
            for stock in (await self._from_shared(unheld)).values():
                self.memory.put(stock, self._clock.now())
        unknown = [sku for sku in skus if not self._usable(self.memory.get(sku))]
        absent: set[str] = set()
        if unknown and self._may_ask():
            try:
                absent = set(unknown) - (await self._load(unknown)).keys()
            except (UnavailableError, BusyError):
                absent = set()
        return self._last_known([sku for sku in skus if sku not in absent], None)

    def _may_ask(self) -> bool:
        held = self._switches.feature(Action.READ_STOCK).because is Because.HOLD
        return not held and not self._switches.down("postgresql")

    def _last_known(self, skus: list[str], error: UnavailableError | BusyError | None) -> dict[str, Reading]:
        known = {sku: stock for sku in skus if self._usable(stock := self.memory.get(sku)) and stock}
        if len(known) < len(skus):
            if isinstance(error, BusyError):
                raise error
            raise self._switches.failure(
                Action.READ_STOCK,
                error or UnavailableError("postgresql", "away, and no recent value is known"),
            )
        self.served[Layer.LAST_KNOWN] += len(known)
        return self._readings(known, stale=True)

    async def _load(self, skus: list[str]) -> dict[str, Stock]:
        flights = self._flights.join(skus)
        _, late = await asyncio.wait(flights, timeout=self._ages.deadline_s)
        if late:
            self._doubtful = True
            raise UnavailableError("postgresql", "it does not answer in time")
        found: dict[str, Stock] = {}
        for flight in flights:
            found |= flight.result()
        return {sku: found[sku] for sku in skus if sku in found}

    async def _fetch(self, skus: Sequence[str]) -> dict[str, Stock]:
        shared = await self._from_shared(skus)
        for stock in shared.values():
            self.memory.put(stock, self._clock.now())
        found = {sku: stock for sku, stock in shared.items() if self._fresh(stock)}
        self.served[Layer.SHARED] += len(found)
        missing = [sku for sku in skus if sku not in found]
        return found | await self._from_authority(missing) if missing else found

    async def _from_shared(self, skus: Sequence[str]) -> dict[str, Stock]:
        if self._switches.behaviour(Action.CACHE) is Behaviour.REFUSE:
            return {}
        return await self._shared.get_many(skus)

    async def _from_authority(self, skus: list[str]) -> dict[str, Stock]:
        as_of = self._clock.now()
        try:
            async with self._store.reading() as transaction:
                stocks = await transaction.levels.stock(skus, as_of)
        except UnavailableError:
            self._doubtful = True
            raise
        self._doubtful = False
        self.served[Layer.AUTHORITY] += len(stocks)
        for stock in stocks.values():
            self.memory.put(stock, self._clock.now())
        if stocks and self._switches.behaviour(Action.CACHE) is not Behaviour.REFUSE:
            put = asyncio.create_task(self._shared.put_many(stocks.values()), name="shared cache")
            self._puts.add(put)
            put.add_done_callback(self._puts.discard)
        return stocks

    def _readings(self, stocks: Mapping[str, Stock], *, stale: bool) -> dict[str, Reading]:
        return {sku: Reading(stock, self._age_s(stock), stale) for sku, stock in stocks.items()}

    def _age_s(self, stock: Stock) -> float:
        return max(0.0, (self._clock.now() - stock.as_of).total_seconds())

    def _fresh(self, stock: Stock) -> bool:
        # Of a time yet to come is what was read before the clock was set back.
        age_s = (self._clock.now() - stock.as_of).total_seconds()
        young = abs(age_s) < self._ages.soft_s
        return young and stock.as_of >= self.memory.changed_at(stock.sku.sku)

    def _usable(self, stock: Stock | None) -> bool:
        return stock is not None and self._age_s(stock) <= self._ages.hard_s
