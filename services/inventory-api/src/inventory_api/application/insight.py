"""What the figures say: reports, a dashboard, forecasts, drafts of orders, recommendations.

Figures come from the authority and rules; a model only adds words, in time or not at all.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Protocol

from inventory_api.domain.errors import UnknownSkuError
from inventory_api.domain.forecast import Forecast, forecast, order_quantity
from inventory_api.domain.gate import Action, Behaviour
from resilience_runtime import Clock

from .assistant import Writer
from .errors import BusyError, UnavailableError
from .switches import Switches

DASHBOARD_S = 10.0
HISTORY_DAYS = 120
WORDS = 120
_TASK = (
    "You explain a shop's stock figures to its staff in two or three sentences. "
    "Never state a quantity that is not among the figures."
)

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Figures:
    """The dashboard's numbers at one instant."""

    skus: int
    levels: int
    on_hand: int
    reserved: int
    low: int
    out: int
    value: Decimal
    sold_7_days: int
    active_reservations: int
    as_of: datetime


@dataclass(frozen=True, slots=True)
class LowLine:
    """A level at or under its reorder point; `position` is available and incoming, `sold` of the last 28 days."""

    sku: str
    location: str
    position: int
    safety_stock: int
    reorder_point: int
    unit_cost: Decimal | None
    sold: int


@dataclass(frozen=True, slots=True)
class OrderLine:
    """What to order, and why."""

    line: LowLine
    quantity: int
    daily: float


@dataclass(frozen=True, slots=True)
class Recommendation:
    """A SKU that goes with another; `together` counts the baskets that held both."""

    sku: str
    name: str
    together: int


class Books(Protocol):
    """Sums over the stock and its ledger. Raises `UnavailableError` and `BusyError`."""

    async def report(self, name: str, days: int, by: str, limit: int) -> Sequence[Row]:
        """Return the rows of a report."""
        ...

    async def figures(self) -> Figures:
        """Return the dashboard's numbers."""
        ...

    async def sold(self, sku: str, days: int) -> list[int] | None:
        """Return units sold on each day before today, oldest first; None when there is no such SKU."""
        ...

    async def low(self, limit: int) -> list[LowLine]:
        """Return levels at or under their reorder point."""
        ...

    async def together(self, sku: str, limit: int) -> list[Recommendation] | None:
        """Return SKUs sold in the same baskets, then others of its category; None when there is no such SKU."""
        ...


class Insight:
    """Answers questions about the business."""

    def __init__(self, books: Books, writer: Writer, switches: Switches, clock: Clock) -> None:
        self._books = books
        self._writer = writer
        self._switches = switches
        self._clock = clock
        self._last: Figures | None = None
        self._asked_at = clock.now()
        self._computing = asyncio.Lock()

    async def report(self, name: str, days: int, by: str, limit: int) -> Sequence[Row]:
        """Return a report's rows."""
        return await self._books.report(name, days, by, limit)

    async def dashboard(self, behaviour: Behaviour) -> tuple[Figures, bool]:
        """Return the figures, computed at most every ten seconds, and whether they are only the last known.

        Raises:
            FeatureRefusedError: none are known, and none can be computed now.
        """
        if behaviour is Behaviour.SERVE or self._last is None:
            async with self._computing:
                if self._last is None or not 0 <= self._age_s() < DASHBOARD_S:
                    try:
                        asked_at = self._clock.now()
                        self._last, self._asked_at = await self._books.figures(), asked_at
                    except (UnavailableError, BusyError) as error:
                        return self._last_known(error), True
            return self._last, behaviour is Behaviour.REDUCED
        return self._last, True

    def _last_known(self, error: UnavailableError | BusyError) -> Figures:
        if self._last is not None:
            return self._last
        if isinstance(error, BusyError):
            raise error
        raise self._switches.failure(Action.DASHBOARD, error)

    def _age_s(self) -> float:
        """Return how old the figures are by the clock here; that of PostgreSQL may go otherwise."""
        return (self._clock.now() - self._asked_at).total_seconds()

    async def forecast(self, sku: str, horizon: int, behaviour: Behaviour) -> tuple[Forecast, str | None]:
        """Return a forecast of a SKU's sales, and words about it if a model writes any.

        Raises:
            UnknownSkuError: there is none.
        """
        sold = await self._books.sold(sku, HISTORY_DAYS)
        if sold is None:
            raise UnknownSkuError
        ahead = await asyncio.to_thread(forecast, sold, horizon)
        facts = f"{sku}: sold {sum(sold[-28:])} in 28 days; expected {ahead.total:.0f} in the next {horizon} days."
        return ahead, await self._words(facts, behaviour)

    async def draft(
        self, cover_days: int, limit: int, behaviour: Behaviour
    ) -> tuple[list[OrderLine], str | None]:
        """Return what to order by the reorder rule, and words about it if a model writes any."""
        lines = []
        for line in await self._books.low(limit):
            daily = line.sold / 28
            quantity = order_quantity(line.position, line.safety_stock, line.reorder_point, daily, cover_days)
            lines.append(OrderLine(line, quantity, daily))
        facts = "\n".join(
            f"{each.line.sku} at {each.line.location}: order {each.quantity}" for each in lines[:20]
        )
        return lines, await self._words(facts, behaviour) if lines else None

    async def recommend(
        self, sku: str, limit: int, behaviour: Behaviour
    ) -> tuple[list[Recommendation], str | None]:
        """Return what goes with a SKU, and words about it if a model writes any.

        Raises:
            UnknownSkuError: there is none.
        """
        found = await self._books.together(sku, limit)
        if found is None:
            raise UnknownSkuError
        facts = "\n".join(f"{each.name}: with {sku} in {each.together} baskets" for each in found)
        return found, await self._words(facts, behaviour) if found else None

    async def _words(self, facts: str, behaviour: Behaviour) -> str | None:
        if behaviour is Behaviour.REDUCED:
            return None
        try:
            return await self._writer.write(_TASK, facts, WORDS)
        except UnavailableError:
            return None
