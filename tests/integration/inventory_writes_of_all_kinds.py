"""Every kind of write that the API takes, as a client sends it and remembers what it was told."""

from __future__ import annotations

from dataclasses import dataclass, field

import httpx


@dataclass
class Client:
    """Writes under keys of its own.

    Attributes:
        told: by key: path, body and answer of what was accepted.
    """

    url: str
    prefix: str
    told: dict[str, tuple[str, object, httpx.Response]] = field(default_factory=dict)

    def post(self, path: str, body: object, status: int | None = None) -> httpx.Response:
        """Send a write under the next key; it must be answered with this status, or with success."""
        key = f"{self.prefix}-{len(self.told)}"
        answer = self.send(key, path, body)
        assert answer.status_code == status if status else answer.is_success, answer.text
        self.told[key] = (path, body, answer)
        return answer

    def send(self, key: str, path: str, body: object) -> httpx.Response:
        """Send a write under a key; a str is a CSV file."""
        headers = {"Idempotency-Key": key}
        url = f"{self.url}/v1{path}"
        if isinstance(body, str):
            return httpx.post(url, content=body, headers=headers, timeout=20, trust_env=False)
        return httpx.post(url, json=body, headers=headers, timeout=20, trust_env=False)

    def write_of_all_kinds(self) -> str:
        """Write once in every way, to a SKU and two locations of its own; return the SKU."""
        sku, shop, store = f"{self.prefix}-tee", f"{self.prefix}-shop", f"{self.prefix}-store"
        line = {"sku": sku, "location": shop, "quantity": 4}
        self.post("/locations", {"code": shop, "name": "Shop"})
        self.post("/locations", {"code": store, "name": "Store"})
        self.post("/skus", {"sku": sku, "name": "Tee", "unit_cost": "1234567.1234"})
        self.post("/adjustments", _adjustment(sku, shop, 30))
        self.post("/adjustments:batch", {"items": [_adjustment(sku, shop, 5), _adjustment(sku, store, 2)]})
        self.post("/counts", {"sku": sku, "location": store, "counted": 3})
        self._hold(line)
        self._move(sku, shop, store)
        self.post("/imports", f"sku,location,on_hand,name\n{sku}-csv,{store},7,Cap\n")
        self._set_thresholds(sku, shop)
        self.post("/skus", {"sku": sku, "name": "Tee again"}, 409)
        return sku

    def queue(self, sku: str) -> None:
        """Write what is accepted while the database is away."""
        self.post("/adjustments", _adjustment(sku, f"{self.prefix}-shop", 2), 202)
        self.post("/counts", {"sku": sku, "location": f"{self.prefix}-store", "counted": 9}, 202)

    def _hold(self, line: dict[str, object]) -> None:
        wish = {"owner_ref": "cart", "lines": [line], "ttl_s": 3600}
        confirmed = self.post("/reservations", wish).json()["id"]
        self.post(f"/reservations/{confirmed}/confirm", {})
        self.post("/returns", {"reservation_id": confirmed, "lines": [line | {"quantity": 1}]})
        partly = self.post("/reservations", wish).json()["id"]
        self.post(f"/reservations/{partly}/release", {"lines": [line | {"quantity": 1}]})
        self.post(f"/reservations/{partly}/extend", {"ttl_s": 7200})

    def _move(self, sku: str, source: str, destination: str) -> None:
        wish = {"source": source, "destination": destination, "lines": [{"sku": sku, "quantity": 2}]}
        planned = self.post("/transfers", wish).json()["id"]
        self.post(f"/transfers/{planned}/ship", {})
        self.post(f"/transfers/{planned}/receive", {"lines": [{"sku": sku, "quantity": 1}]})
        self.post("/transfers", wish | {"at_once": True})

    def _set_thresholds(self, sku: str, shop: str) -> None:
        where = f"{self.url}/v1/stock/{sku}/locations/{shop}"
        version = httpx.get(where, timeout=10, trust_env=False).headers["ETag"]
        body = {"safety_stock": 1, "reorder_point": 2, "backorder_limit": 3}
        done = httpx.put(where, json=body, headers={"If-Match": version}, timeout=10, trust_env=False)
        assert done.status_code == 200, done.text


def _adjustment(sku: str, location: str, delta: int) -> dict[str, object]:
    return {"sku": sku, "location": location, "delta": delta, "reason": "RECEIPT"}
