"""What the examples of answers tell: one morning of one T-shirt at one warehouse, the same wherever it is met.

120 are on hand at `central`: 108, and 12 that have just come. Two are held for a cart, five are kept back, 113 can be
promised. A count finds two too few; two go to a store; two come back that the cart had taken.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from resilience_runtime.problem import TYPE_PREFIX

Json = dict[str, Any]

SKU = "TEE-BLACK-M"
SOME_ID = "6f1c7f9e-2f7b-4a53-9f0e-0c7d1b8f3a11"
SOON = "2026-11-25T09:45:00.000Z"
_LEVEL_AFTER_COUNT = {"on_hand": 118, "available": 111, "version": 5}
_REFUSED: Mapping[int, tuple[str, str]] = {
    400: ("invalid_request", "Bad Request"),
    401: ("key_needed", "Unauthorized"),
    403: ("scope_missing", "Forbidden"),
    404: ("sku_not_found", "SKU not found"),
    409: ("insufficient_stock", "Insufficient stock"),
    412: ("version_mismatch", "Version mismatch"),
    422: ("invalid_request", "Unprocessable Content"),
    428: ("version_required", "Precondition Required"),
    429: ("too_many_requests", "Too Many Requests"),
    500: ("internal_error", "Internal Server Error"),
    503: ("feature_disabled", "Feature disabled"),
}

_LOW = "retail.inventory.stock.low.v1"
_SUBSCRIBED: Json = {
    "id": "wh_6f1c7f9e2f7b4a539f0e0c7d1b8f3a11",
    "url": "https://shop.example/hooks",
    "kinds": ["low", "back"],
    "skus": [],
    "locations": ["central"],
    "created_by": "storefront",
    "rotated_at": None,
    "condition": "active",
    "kept": None,
    "signed_here": True,
}
OF_SCHEMA: Mapping[str, Json] = {
    "SkuOut": {"attributes": {"colour": "black"}, "backorder_limit": 0},
    "LocationOut": {"name": "Central warehouse"},
    "LevelOut": {"incoming": 0, "backorder_limit": 0, "version": 4},
    "LedgerOut": {"id": 9017, "sequence": 2},
    "AvailabilityBatch": {"not_found": ["TEE-BLACK-L"]},
    "ReservationOut": {"expires_at": SOON},
    "HeldLineOut": {"held": 2, "confirmed": 0, "released": 0, "expired": 0},
    "TransferLineOut": {"shipped": 0, "in_transit": 0, "received": 0, "returned": 0, "lost": 0},
    "OperationOut": {"finished_at": None, "code": None, "detail": None},
    "BatchOut": {"applied": 1, "failed": 0},
    "BatchRowOut": {"code": None, "detail": None},
    "LowStockOut": {"sku": "SOCK-42", "on_hand": 23, "available": 18, "incoming": 0},
    "WebhookOut": _SUBSCRIBED,
    "SecretWebhookOut": _SUBSCRIBED | {"secret": "whsec_bWFkZSBmb3IgdGhpcyBvbmUgc3Vic2NyaXB0aW9uISE="},
    "PendingOut": {
        "message_id": "msg_0b9c1f0f7d0e4a5e8a52b0f1f4c9d3aa",
        "type": _LOW,
        "subject": "edge:SOCK-42/central",
    },
    "AttemptOut": {
        "message_id": "msg_4f1f6f6f1c3b4c22a6a80a2f8f0d6b11",
        "type": _LOW,
        "status": 503,
        "detail": "",
    },
    "AssistantOut": {
        "answer": "T-shirt, black, M: 113 available. Nothing is running low.",
        "source": "rules",
    },
    "DegradationOut": {
        "scope": "default",
        "level": "LIMITED",
        "rank": 2,
        "version": "7.42",
        "cause": "redis",
        "score": 72.5,
        "features": {
            "integrations.media": {
                "state": "ENABLED",
                "because": "level",
                "detail": "LIMITED leaves it on",
                "since": "2026-11-25T09:30:00.000Z",
            }
        },
        "breakers": {"redis": {"state": "OPEN", "failure_rate": 1.0, "slow_rate": 0.0, "retry_after_s": 4.5}},
        "feed_age_s": 0.4,
        "commands": {"waiting": 0, "oldest_age_s": 0.0},
    },
}
"""What is otherwise in an example of a schema, by its name."""

_COUNTED = {"reason": "COUNT", "delta": -2, "before": 120, "after": 118, "sequence": 3, "reference": None}
_RETURNED = {
    "reason": "RETURN",
    "delta": 2,
    "before": 118,
    "after": 120,
    "sequence": 4,
    "reference": "cart-8675309",
}
_RESERVATION, _TRANSFER = "/v1/reservations/{reservation_id}", "/v1/transfers/{transfer_id}"
OF_ANSWER: Mapping[tuple[str, str], Json] = {
    ("post", "/v1/counts"): {"entry": _COUNTED, "level": _LEVEL_AFTER_COUNT},
    ("post", "/v1/returns"): {"items": {"entry": _RETURNED, "level": {"version": 7}}},
    ("post", f"{_RESERVATION}/confirm"): {"state": "CONFIRMED", "lines": {"held": 0, "confirmed": 2}},
    ("post", f"{_RESERVATION}/release"): {"state": "RELEASED", "lines": {"held": 0, "released": 2}},
    ("post", f"{_TRANSFER}/ship"): {"state": "SHIPPED", "lines": {"shipped": 2, "in_transit": 2}},
    ("post", f"{_TRANSFER}/receive"): {"state": "RECEIVED", "lines": {"shipped": 2, "received": 2}},
    ("post", f"{_TRANSFER}/cancel"): {"state": "CANCELLED", "lines": {"shipped": 2, "returned": 2}},
    ("get", "/v1/operations"): {
        "items": {
            "status": "exception",
            "finished_at": SOON,
            "code": "insufficient_stock",
            "detail": "There is not enough stock.",
        }
    },
}
"""What is otherwise in the example of what was done at once, by method and path; of a list, in each of its items."""


def retold(example: Any, other: Any) -> Any:
    """Return an example with what is otherwise; of an object that shares no member with it, all is."""
    if isinstance(example, list):
        return other if isinstance(other, list) else [retold(each, other) for each in example]
    if isinstance(example, dict) and isinstance(other, dict) and example.keys() & other.keys():
        return {
            name: retold(value, other[name]) if name in other else value for name, value in example.items()
        }
    return other


def refusal(status: int, path: str, detail: str) -> Json:
    """Return the members of a problem with this status."""
    code, title = _REFUSED.get(status, ("refused", "Refused"))
    return {
        "type": TYPE_PREFIX + code,
        "title": title,
        "status": status,
        "detail": detail,
        "code": code,
        "instance": re.sub(r"{(\w+)}", lambda name: SKU if name[1] == "sku" else SOME_ID, path),
    }
