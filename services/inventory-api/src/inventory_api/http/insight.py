"""Routes of reports, dashboard, forecasts, drafts of orders and recommendations."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from inventory_api.application.insight import Row
from inventory_api.domain.gate import Action, Behaviour

from .back_office import Working
from .conditional import respond_unless_known
from .fields import Out
from .listing import KNOWN, NO_NUL
from .services import Serving, admitted

router = APIRouter(prefix="/v1", tags=["insight"])

Days = Annotated[int, Query(ge=1, le=730, description="the period, up to now")]
Rows = Annotated[int, Query(ge=1, le=1000)]
SkuPath = Annotated[str, Path(max_length=120, pattern=NO_NUL, examples=["TEE-BLACK-M"])]
REPORTED = [Depends(admitted(Action.REPORT))]
FRESH = {"Cache-Control": "no-cache"}


class ValuationRow(Out):
    """Stock of a location or category at cost."""

    key: str
    units: int
    value: Decimal
    units_without_cost: int = Field(description="not in the value: their SKU has no unit cost")


class TurnoverRow(Out):
    """How often a SKU's average stock was sold in the period."""

    key: str
    sold: int
    average_stock: float
    turnover: float | None


class AgeingRow(Out):
    """Units on hand by age, first in first out."""

    key: str
    units: int


class StockoutRow(Out):
    """How often and how long a SKU was at zero at a location in the period."""

    key: str
    location: str
    times: int
    hours_out: float
    out_now: bool


class Valuation(Out):
    """Stock at cost."""

    as_of: datetime
    rows: list[ValuationRow]


class Turnover(Out):
    """Turnover by SKU, most sold first."""

    as_of: datetime
    rows: list[TurnoverRow]


class Ageing(Out):
    """Stock by age."""

    as_of: datetime
    rows: list[AgeingRow]


class Stockouts(Out):
    """Stock-outs, longest first."""

    as_of: datetime
    rows: list[StockoutRow]


class DashboardOut(Out):
    """The business at a glance; `stale` figures are the last computed."""

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
    stale: bool


class DayOut(Out):
    """Units of a day: expected, and the 80 % interval."""

    expected: float
    low: float
    high: float


class ForecastOut(Out):
    """Days ahead, today first. `explanation` is a model's, or null; the figures never are."""

    sku: str
    days: list[DayOut]
    total: float
    method: str = Field(examples=["exponential smoothing by weekday"])
    explanation: str | None


class DraftLine(Out):
    """What to order."""

    sku: str
    location: str
    quantity: int
    position: int = Field(description="available and incoming")
    reorder_point: int
    expected_daily: float
    cost: Decimal | None


class DraftOut(Out):
    """A draft for suppliers, by the reorder rule."""

    lines: list[DraftLine]
    explanation: str | None


class RecommendationOut(Out):
    """What goes with a SKU."""

    sku: str
    name: str
    together: int = Field(description="baskets with both; 0 for one of the same category")


class RecommendationsOut(Out):
    """SKUs that go with one, best first."""

    items: list[RecommendationOut]
    explanation: str | None


async def _report(office: Working, name: str, days: int, by: str, limit: int) -> list[Row]:
    return list(await office.insight.report(name, days, by, limit))


@router.get("/reports/valuation", response_model=Valuation, dependencies=REPORTED, responses=KNOWN)
async def valuation(
    request: Request,
    services: Serving,
    office: Working,
    by: Annotated[str, Query(pattern="^(location|category)$")] = "location",
    limit: Rows = 100,
) -> Response:
    """Tell what the stock has cost, by location or category."""
    rows = [ValuationRow(**row) for row in await _report(office, "valuation", 1, by, limit)]
    return respond_unless_known(request, Valuation(as_of=services.clock.now(), rows=rows), FRESH)


@router.get("/reports/turnover", response_model=Turnover, dependencies=REPORTED, responses=KNOWN)
async def turnover(
    request: Request, services: Serving, office: Working, days: Days = 30, limit: Rows = 100
) -> Response:
    """Tell how often the stock was sold, by SKU."""
    rows = [TurnoverRow(**row) for row in await _report(office, "turnover", days, "sku", limit)]
    return respond_unless_known(request, Turnover(as_of=services.clock.now(), rows=rows), FRESH)


@router.get("/reports/ageing", response_model=Ageing, dependencies=REPORTED, responses=KNOWN)
async def ageing(request: Request, services: Serving, office: Working) -> Response:
    """Tell how long the stock has lain."""
    rows = [AgeingRow(**row) for row in await _report(office, "ageing", 1, "age", 10)]
    return respond_unless_known(request, Ageing(as_of=services.clock.now(), rows=rows), FRESH)


@router.get("/reports/stockouts", response_model=Stockouts, dependencies=REPORTED, responses=KNOWN)
async def stockouts(
    request: Request, services: Serving, office: Working, days: Days = 30, limit: Rows = 100
) -> Response:
    """Tell what was out of stock, how often and how long."""
    rows = [StockoutRow(**row) for row in await _report(office, "stockouts", days, "level", limit)]
    return respond_unless_known(request, Stockouts(as_of=services.clock.now(), rows=rows), FRESH)


@router.get("/dashboard", response_model=DashboardOut, responses=KNOWN)
async def dashboard(
    request: Request,
    office: Working,
    behaviour: Annotated[Behaviour, Depends(admitted(Action.DASHBOARD))],
) -> Response:
    """Show the business at a glance."""
    figures, stale = await office.insight.dashboard(behaviour)
    body = DashboardOut(
        skus=figures.skus,
        levels=figures.levels,
        on_hand=figures.on_hand,
        reserved=figures.reserved,
        low=figures.low,
        out=figures.out,
        value=figures.value,
        sold_7_days=figures.sold_7_days,
        active_reservations=figures.active_reservations,
        as_of=figures.as_of,
        stale=stale,
    )
    return respond_unless_known(request, body, FRESH)


@router.get("/forecasts/{sku}", response_model=ForecastOut, responses=KNOWN)
async def show_forecast(
    request: Request,
    office: Working,
    behaviour: Annotated[Behaviour, Depends(admitted(Action.FORECAST))],
    sku: SkuPath,
    days: Annotated[int, Query(ge=1, le=90)] = 14,
) -> Response:
    """Forecast a SKU's sales over all locations from the last 120 days."""
    ahead, words = await office.insight.forecast(sku, days, behaviour)
    rounded = [
        DayOut(expected=round(day.expected, 3), low=round(day.low, 3), high=round(day.high, 3))
        for day in ahead.days
    ]
    method = "exponential smoothing by weekday" if ahead.by_weekday else "exponential smoothing"
    body = ForecastOut(sku=sku, days=rounded, total=round(ahead.total, 3), method=method, explanation=words)
    return respond_unless_known(request, body, FRESH)


@router.get("/supplier-orders/draft", response_model=DraftOut, responses=KNOWN)
async def draft_order(
    request: Request,
    office: Working,
    behaviour: Annotated[Behaviour, Depends(admitted(Action.SUPPLY))],
    cover_days: Annotated[int, Query(ge=1, le=365)] = 14,
    limit: Annotated[int, Query(ge=1, le=200)] = 100,
) -> Response:
    """Draft what to order: every level at or under its reorder point, up to what is sold in the days to cover."""
    lines, words = await office.insight.draft(cover_days, limit, behaviour)
    drawn = [
        DraftLine(
            sku=each.line.sku,
            location=each.line.location,
            quantity=each.quantity,
            position=each.line.position,
            reorder_point=each.line.reorder_point,
            expected_daily=round(each.daily, 3),
            cost=None if each.line.unit_cost is None else each.line.unit_cost * each.quantity,
        )
        for each in lines
    ]
    return respond_unless_known(request, DraftOut(lines=drawn, explanation=words), FRESH)


@router.get("/recommendations/{sku}", response_model=RecommendationsOut, responses=KNOWN)
async def recommend(
    request: Request,
    office: Working,
    behaviour: Annotated[Behaviour, Depends(admitted(Action.RECOMMEND))],
    sku: SkuPath,
    limit: Annotated[int, Query(ge=1, le=50)] = 5,
) -> Response:
    """Show what goes with a SKU: what was bought with it, then others of its category."""
    found, words = await office.insight.recommend(sku, limit, behaviour)
    items = [RecommendationOut(sku=each.sku, name=each.name, together=each.together) for each in found]
    return respond_unless_known(request, RecommendationsOut(items=items, explanation=words), FRESH)
