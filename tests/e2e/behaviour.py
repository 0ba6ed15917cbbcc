"""The behaviour column of the feature table: what each of the sixteen features does in each state, asked over HTTP."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any, Final

import httpx

from resilience_contracts import Because, FeatureState, Level, Policy, Resolution, resolve
from tests.e2e.shop import LOCATION, PNG, Shop, until

ENABLED, FALLBACK, DISABLED = FeatureState.ENABLED, FeatureState.FALLBACK, FeatureState.DISABLED
SKU, LIKE, LOW = "BEHAVE-TEE", "BEHAVE-TEE-LONG", "BEHAVE-LOW"
STOCK, HELD = 100_000, 10_000
REDUCED_ROWS: Final = 100
WEEK_S: Final = 7 * 86_400
REPORTS = ("valuation", "turnover", "ageing", "stockouts")


@dataclass(frozen=True, slots=True)
class Asking:
    """Asks a shop for one feature, whose state should be the expected one."""

    shop: Shop
    feature: str
    expected: Resolution

    @property
    def state(self) -> FeatureState:
        return self.expected.state

    def get(self, path: str, **params: str) -> httpx.Response:
        return self.shop.inventory.get(f"/v1{path}", params=params)

    def post(self, path: str, body: object) -> httpx.Response:
        key = {"Idempotency-Key": uuid.uuid4().hex}
        return self.shop.inventory.post(f"/v1{path}", json=body, headers=key)

    def served(self, answer: httpx.Response, status: int = httpx.codes.OK) -> Any:
        """Return the body of an answer that must have this status."""
        assert answer.status_code == status, f"{self.feature} {self.state}: {answer.text[:500]}"
        return answer.json()

    def refused(self, answer: httpx.Response) -> None:
        """Check a refusal: which feature, in which state, why, since when, and when to come back."""
        assert answer.status_code == httpx.codes.SERVICE_UNAVAILABLE, f"{self.feature}: {answer.text[:500]}"
        assert answer.headers["content-type"].startswith("application/problem+json")
        problem = answer.json()
        told = {key: problem[key] for key in ("code", "feature", "state", "because", "detail")}
        assert told == {
            "code": "feature_disabled",
            "feature": self.feature,
            "state": self.state.value,
            "because": self.expected.because.value,
            "detail": self.expected.detail,
        }
        assert problem["since"]
        assert 1 <= problem["retry_after"] == int(answer.headers["Retry-After"]) <= 300

    def served_unless_off(self, answer: httpx.Response, status: int = httpx.codes.OK) -> Any:
        """Return the body, or None of an answer that must be refused."""
        if self.state is DISABLED:
            return self.refused(answer)
        return self.served(answer, status)


def prepare(shop: Shop) -> None:
    """Create what the checks ask for, and read it once; all is well then."""
    asking = Asking(shop, "preparation", Resolution(ENABLED, Because.LEVEL, ""))
    for sku, reorder_point in ((SKU, 0), (LIKE, 0), (LOW, 5)):
        body = {"sku": sku, "name": f"Behave {sku}", "category": "behave", "reorder_point": reorder_point}
        until("a SKU", lambda body=body: asking.post("/skus", body).status_code in {201, 409} or None)  # type: ignore[misc]
    for sku, quantity in ((SKU, STOCK), (LIKE, 50), (LOW, 1)):
        body = {"sku": sku, "location": LOCATION, "delta": quantity, "reason": "RECEIPT"}
        assert shop.post("/v1/adjustments", body, f"behave-{sku}").is_success
    line = {"sku": SKU, "location": LOCATION, "quantity": HELD}
    hold = shop.post("/v1/reservations", {"owner_ref": "behave", "lines": [line], "ttl_s": WEEK_S}, "behave")
    assert hold.is_success, hold.text
    assert asking.post("/availability:batch", {"skus": [SKU]}).is_success
    assert asking.get("/dashboard").is_success
    assert shop.inventory.put(f"/v1/skus/{SKU}/image", content=PNG).is_success
    shop.held = hold.json()["id"]


def check_behaviour(shop: Shop, down: Collection[str], level: Level, policy: Policy) -> None:
    """Check every feature's answers once a level has settled with these dependencies down.

    Args:
        shop: where to ask; `prepare` was called on it at OPTIMAL.
        down: the dependencies that are DOWN.
        level: the level in force.
        policy: says what state each feature has then.
    """
    assert CHECKS.keys() == policy.features.keys()
    expected = {key: resolve(rule, level, frozenset(down)) for key, rule in policy.features.items()}
    states = {key: resolution.state for key, resolution in expected.items()}
    seen = shop.inventory.get("/v1/system/degradation").json()["features"]
    assert {key: FeatureState(each["state"]) for key, each in seen.items()} == states
    assert shop.features_at_flags() == states
    for key, check in CHECKS.items():
        check(Asking(shop, key, expected[key]))


def availability(asking: Asking) -> None:
    answer = asking.post("/availability:batch", {"skus": [SKU]})
    body = asking.served(answer)
    item, stale = body["items"][0], asking.state is FALLBACK
    assert body["stale"] is item["stale"] is stale
    assert item["status"] == "IN"
    assert item["as_of"]
    assert (item["available"] is None) is stale
    assert all((place["available"] is None) is stale for place in item["locations"])
    assert ("Age" in answer.headers) is ("stale-if-error" in answer.headers["Cache-Control"]) is stale
    one = asking.served(asking.get(f"/stock/{SKU}"))
    assert (one["stale"], one["available"] is None) == (stale, stale)


def reservations(asking: Asking) -> None:
    line = {"sku": SKU, "location": LOCATION, "quantity": 1}
    hold = asking.post("/reservations", {"owner_ref": "behave", "lines": [line]})
    if asking.state is ENABLED:
        asking.served(hold, httpx.codes.CREATED)
    else:
        asking.refused(hold)
        asking.refused(asking.post(f"/reservations/{asking.shop.held}/extend", {"ttl_s": WEEK_S}))
    for verb in ("confirm", "release"):
        asking.served_unless_off(asking.post(f"/reservations/{asking.shop.held}/{verb}", {"lines": [line]}))


def adjustments(asking: Asking) -> None:
    place = {"sku": SKU, "location": LOCATION}
    received = asking.post("/adjustments", {**place, "delta": 1, "reason": "RECEIPT"})
    if asking.state is ENABLED:
        assert asking.served(received, httpx.codes.CREATED)["entry"]["delta"] == 1
        return
    operation = asking.served(received, httpx.codes.ACCEPTED)
    assert received.headers["Location"] == f"/v1/operations/{operation['id']}"
    assert asking.served(asking.get(f"/operations/{operation['id']}"))["id"] == operation["id"]
    counted = asking.post("/counts", {"sku": LIKE, "location": LOCATION, "counted": 50})
    asking.served(counted, httpx.codes.ACCEPTED)


def bulk_operations(asking: Asking) -> None:
    item = {"sku": SKU, "location": LOCATION, "delta": 1, "reason": "RECEIPT"}
    few, many = [item] * 2, [item] * (REDUCED_ROWS + 1)
    asking.served_unless_off(asking.post("/adjustments:batch", {"mode": "atomic", "items": few}))
    asked = asking.post("/adjustments:batch", {"mode": "atomic", "items": many})
    if asking.state is FALLBACK:
        asking.refused(asked)
    else:
        asking.served_unless_off(asked)
    rows = "".join(f"BEHAVE-{number},Thing\n" for number in range(REDUCED_ROWS + 1))
    imported = asking.shop.inventory.post(
        "/v1/imports", params={"dry_run": "true"}, content=f"sku,name\n{rows}"
    )
    if asking.state is FALLBACK:
        assert asking.served(imported, httpx.codes.REQUEST_ENTITY_TOO_LARGE)["code"] == "too_many_rows"
    else:
        asking.served_unless_off(imported)


def dashboard(asking: Asking) -> None:
    body = asking.served_unless_off(asking.get("/dashboard"))
    assert body is None or body["stale"] is (asking.state is FALLBACK)
    assert body is None or body["as_of"]


def reports(asking: Asking) -> None:
    for name in REPORTS:
        asking.served_unless_off(asking.get(f"/reports/{name}", limit="1"))


def forecasting(asking: Asking) -> None:
    body = asking.served_unless_off(asking.get(f"/forecasts/{SKU}", days="7"))
    assert body is None or len(body["days"]) == 7
    explained(asking, body)


def explained(asking: Asking, body: dict[str, Any] | None) -> None:
    """Check that a model's words are there while the feature is whole, and only then."""
    assert body is None or (body["explanation"] is not None) is (asking.state is ENABLED), asking.feature


def exports(asking: Asking) -> None:
    streamed = asking.get("/exports/stock.csv", location=LOCATION)
    asked = asking.post("/exports", {"location": LOCATION})
    if asking.state is DISABLED:
        asking.refused(streamed)
        asking.refused(asked)
        return
    assert streamed.is_success
    assert streamed.text.startswith("sku,location,on_hand")
    export = asking.served(asked, httpx.codes.ACCEPTED)
    asking.served(asking.get(f"/exports/{export['id']}"))


def ai_assistant(asking: Asking) -> None:
    body = asking.served_unless_off(asking.post("/assistant", {"question": "Enough tees?", "skus": [SKU]}))
    assert body is None or body["source"] == "model"
    assert body is None or body["figures"][0]["sku"] == SKU


def media(asking: Asking) -> None:
    path = f"/v1/skus/{SKU}/image"
    shown = asking.shop.inventory.get(path)
    kept = asking.shop.inventory.put(path, content=PNG)
    if asking.state is ENABLED:
        assert (shown.content, kept.status_code) == (PNG, httpx.codes.NO_CONTENT), kept.text
        return
    asking.refused(kept)
    if asking.state is DISABLED:
        asking.refused(shown)
        return
    assert (shown.status_code, shown.headers["content-type"]) == (httpx.codes.OK, "image/svg+xml")
    assert shown.headers["Image-Placeholder"] == "?1"


def webhooks(asking: Asking) -> None:
    """Subscriptions can be read and made in every state; nothing is lost that waits in Kafka."""
    assert asking.state is not DISABLED
    assert asking.shop.flags.get("/v1/webhooks").is_success


def supplier_orders(asking: Asking) -> None:
    body = asking.served_unless_off(asking.get("/supplier-orders/draft"))
    assert body is None or LOW in {line["sku"] for line in body["lines"]}
    explained(asking, body)


def caching(asking: Asking) -> None:
    """Whether the shared cache is there or not, nobody who reads is told no."""
    for _ in range(3):
        asking.served(asking.get(f"/stock/{SKU}"))


def live_updates(asking: Asking) -> None:
    """Read why at flag-service: who sends the updates is the retailer's page, which asks for this flag."""
    told = asking.shop.flags.get("/v1/features").raise_for_status().json()["features"]
    mine = next(each for each in told if each["key"] == asking.feature)
    assert (mine["state"], mine["because"]) == (asking.state, asking.expected.because)
    assert mine["detail"] == asking.expected.detail


def semantic_search(asking: Asking) -> None:
    body = asking.served_unless_off(asking.get("/search", q="behave"))
    assert body is None or {SKU, LIKE} <= {item["sku"] for item in body["items"]}
    assert body is None or body["source"] == ("meaning" if asking.state is ENABLED else "words")


def recommendations(asking: Asking) -> None:
    body = asking.served_unless_off(asking.get(f"/recommendations/{SKU}"))
    assert body is None or LIKE in {item["sku"] for item in body["items"]}
    explained(asking, body)


CHECKS: dict[str, Callable[[Asking], None]] = {
    "inventory.availability": availability,
    "inventory.reservations": reservations,
    "inventory.adjustments": adjustments,
    "inventory.bulk_operations": bulk_operations,
    "analytics.dashboard": dashboard,
    "analytics.reports": reports,
    "analytics.forecasting": forecasting,
    "analytics.exports": exports,
    "integrations.ai_assistant": ai_assistant,
    "integrations.media": media,
    "integrations.webhooks": webhooks,
    "integrations.supplier_orders": supplier_orders,
    "performance.caching": caching,
    "performance.live_updates": live_updates,
    "performance.semantic_search": semantic_search,
    "performance.recommendations": recommendations,
}
