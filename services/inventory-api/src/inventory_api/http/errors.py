"""Every error as problem+json."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from inventory_api.application.errors import BusyError, FeatureRefusedError, Refusal, UnavailableError
from inventory_api.application.store import Answer
from inventory_api.application.switches import Switches
from inventory_api.domain.errors import BatchRefusedError, InsufficientStockError, InventoryError
from inventory_api.domain.gate import Action
from resilience_contracts import format_time
from resilience_runtime import ProblemDetails
from resilience_runtime.problem import problem_response

BUSY_RETRY_S = 1
_STATUS = {
    "invalid_sku": (422, "Invalid SKU"),
    "invalid_adjustment": (422, "Invalid adjustment"),
    "sku_not_found": (404, "SKU not found"),
    "location_not_found": (404, "Location not found"),
    "reservation_not_found": (404, "Reservation not found"),
    "operation_not_found": (404, "Operation not found"),
    "image_not_found": (404, "Image not found"),
    "sku_exists": (409, "SKU exists"),
    "location_exists": (409, "Location exists"),
    "insufficient_stock": (409, "Insufficient stock"),
    "backordered": (409, "Backordered"),
    "quantity_out_of_range": (409, "Quantity out of range"),
    "reservation_expired": (409, "Reservation expired"),
    "reservation_closed": (409, "Reservation closed"),
    "not_held": (409, "Not held"),
    "transfer_not_found": (404, "Transfer not found"),
    "invalid_transfer": (422, "Invalid transfer"),
    "transfer_closed": (409, "Transfer closed"),
    "not_in_transit": (409, "Not in transit"),
    "not_sold": (409, "Not sold"),
    "version_mismatch": (412, "Version mismatch"),
    "webhook_not_found": (404, "Webhook not found"),
    "too_many_webhooks": (409, "Too many webhooks"),
    "batch_refused": (409, "Batch refused"),
    "idempotency_key_reused": (422, "Idempotency-Key reused"),
    "idempotency_key_in_flight": (409, "Request in flight"),
}


def details_of(error: InventoryError) -> ProblemDetails:
    """Describe a refusal of the inventory."""
    status, title = _STATUS[error.code]
    members: dict[str, Any] = {}
    if isinstance(error, InsufficientStockError):
        members["lines"] = [
            {
                "sku": shortage.sku,
                "location": shortage.location,
                "requested": shortage.requested,
                "available": shortage.available,
            }
            for shortage in error.shortages
        ]
    if isinstance(error, BatchRefusedError):
        cause = details_of(error.cause)
        status = cause.status
        members = {"row": error.row, "cause": error.cause.code, **cause.members}
    return ProblemDetails(status, error.code, title, error.detail, members)


def refused_answer(error: InventoryError, path: str) -> Answer:
    """Write a refusal as an answer that can be kept."""
    details = details_of(error)
    return Answer(
        details.status,
        {},
        json.dumps(details.body(quote(path, safe="/:")), ensure_ascii=False, separators=(",", ":")),
    )


def refusal_details(refusal: Refusal) -> ProblemDetails:
    """Describe a feature that is off: which, why, since when, and when to come back."""
    members = {
        "feature": refusal.feature,
        "state": refusal.state.value,
        "because": refusal.because.value,
        "since": format_time(refusal.since) if refusal.since else None,
        "retry_after": refusal.retry_after_s,
    }
    headers = {"Retry-After": str(refusal.retry_after_s)}
    return ProblemDetails(503, "feature_disabled", "Feature disabled", refusal.detail, members, headers)


def handle_errors(app: FastAPI, switches: Switches) -> None:
    """Give every error of the application its answer."""

    async def on_inventory(request: Request, error: Exception) -> Response:
        assert isinstance(error, InventoryError)  # noqa: S101 - registered for nothing else
        return problem_response(request, details_of(error))

    async def on_refused(request: Request, error: Exception) -> Response:
        assert isinstance(error, FeatureRefusedError)  # noqa: S101 - registered for nothing else
        return problem_response(request, refusal_details(error.refusal))

    async def on_unavailable(request: Request, error: Exception) -> Response:
        assert isinstance(error, UnavailableError)  # noqa: S101 - registered for nothing else
        action: Action | None = getattr(request.state, "action", None)
        if action is not None:
            return problem_response(request, refusal_details(switches.failure(action, error).refusal))
        return problem_response(request, _unavailable(error, switches.retry_after_s()))

    async def on_busy(request: Request, _: Exception) -> Response:
        detail = "Too many requests wait for the database."
        details = ProblemDetails(
            503, "busy", "Busy", detail, {"retry_after": BUSY_RETRY_S}, {"Retry-After": str(BUSY_RETRY_S)}
        )
        return problem_response(request, details)

    app.add_exception_handler(InventoryError, on_inventory)
    app.add_exception_handler(FeatureRefusedError, on_refused)
    app.add_exception_handler(UnavailableError, on_unavailable)
    app.add_exception_handler(BusyError, on_busy)


def _unavailable(error: UnavailableError, retry_after_s: int) -> ProblemDetails:
    wait_s = min(max(1, round(error.retry_after_s)), 300) if error.retry_after_s else retry_after_s
    members = {"dependency": error.dependency, "retry_after": wait_s}
    headers = {"Retry-After": str(wait_s)}
    return ProblemDetails(
        503, "dependency_unavailable", "Dependency unavailable", str(error), members, headers
    )
