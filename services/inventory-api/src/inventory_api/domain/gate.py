"""Which feature guards which operation, and what each of its states means there."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, StrEnum, auto

from resilience_contracts import FeatureState


class Behaviour(Enum):
    """How an operation answers. What REDUCED means stands with the operation that does it."""

    SERVE = auto()
    REDUCED = auto()
    REFUSE = auto()


class Action(StrEnum):
    """Everything a client can ask for that a feature guards."""

    READ_STOCK = "read_stock"
    HOLD = "hold"
    SETTLE = "settle"
    ADJUST = "adjust"
    MOVE = "move"
    READ_IMAGE = "read_image"
    WRITE_IMAGE = "write_image"
    ASSIST = "assist"
    CACHE = "cache"
    BULK = "bulk"
    DASHBOARD = "dashboard"
    REPORT = "report"
    FORECAST = "forecast"
    EXPORT = "export"
    SUPPLY = "supply"
    SEARCH = "search"
    RECOMMEND = "recommend"


@dataclass(frozen=True, slots=True)
class Gate:
    """The feature, and the behaviour while it is in FALLBACK; ENABLED serves and DISABLED refuses."""

    feature: str
    fallback: Behaviour

    def behaviour(self, state: FeatureState) -> Behaviour:
        """Return how to answer in this state."""
        if state is FeatureState.ENABLED:
            return Behaviour.SERVE
        return self.fallback if state is FeatureState.FALLBACK else Behaviour.REFUSE


GATES = {
    Action.READ_STOCK: Gate("inventory.availability", Behaviour.REDUCED),
    Action.HOLD: Gate("inventory.reservations", Behaviour.REFUSE),
    Action.SETTLE: Gate("inventory.reservations", Behaviour.SERVE),
    Action.ADJUST: Gate("inventory.adjustments", Behaviour.REDUCED),
    Action.MOVE: Gate("inventory.adjustments", Behaviour.SERVE),
    Action.READ_IMAGE: Gate("integrations.media", Behaviour.REDUCED),
    Action.WRITE_IMAGE: Gate("integrations.media", Behaviour.REFUSE),
    Action.ASSIST: Gate("integrations.ai_assistant", Behaviour.REDUCED),
    Action.CACHE: Gate("performance.caching", Behaviour.SERVE),
    Action.BULK: Gate("inventory.bulk_operations", Behaviour.REDUCED),
    Action.DASHBOARD: Gate("analytics.dashboard", Behaviour.REDUCED),
    Action.REPORT: Gate("analytics.reports", Behaviour.REFUSE),
    Action.FORECAST: Gate("analytics.forecasting", Behaviour.REDUCED),
    Action.EXPORT: Gate("analytics.exports", Behaviour.REFUSE),
    Action.SUPPLY: Gate("integrations.supplier_orders", Behaviour.REDUCED),
    Action.SEARCH: Gate("performance.semantic_search", Behaviour.REDUCED),
    Action.RECOMMEND: Gate("performance.recommendations", Behaviour.REDUCED),
}
"""REDUCED is: stock as last known, in buckets; an adjustment into the command log; a placeholder image; a short answer;
a hundred rows a file; the last dashboard; figures without words; a search by words."""
