"""A mixed load with marked values wherever a caller can send one, and outages; then logs and metrics are searched.

    python -m tests.bench marked_load --minutes 60

Everything is up, on a Kafka that asks for passwords. Keys, passwords and marked values must be in no log and no metric
of a service, whatever letter case; after what is right and wrong to ask, and while each dependency is away, since errors
like to quote what they were about. A short sample is in `make test-secured`.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
import uuid
from collections import Counter
from pathlib import Path

import httpx

from resilience_cli.smoke import LOCATION, SKU, Smoke
from resilience_cli.stack import DEPENDENCIES, SERVICES, Place
from resilience_cli.stack.s3 import SECRET_ACCESS_KEY
from tests.e2e.shop import until
from tests.fixtures.stack import RunningStack, running_stack

MARK = "marked-4711"
MINUTES, AWAY_SHARE, PAUSE_S, ANSWER_S = 2.0, 0.3, 0.2, 30.0
SERVED, REFUSED = {200, 201, 401, 404, 422}, 503
USAGE = 2


def leaks(stack: RunningStack) -> list[tuple[str, str]]:
    """Return what should be nowhere, each with the log or the metrics that have it."""
    place = Place(stack.root)
    passwords = [file.read_text(encoding="utf-8") for file in (stack.root / "keys").glob("*.password")]
    secrets = (MARK, stack.operator_key(), SECRET_ACCESS_KEY, *passwords)
    written = {service: place.log(service).read_text(encoding="utf-8") for service in SERVICES}
    written |= {f"metrics of {service}": _metrics(stack, service) for service in SERVICES}
    assert all(written.values()), "a log or metrics without a word"
    return [
        (where, secret)
        for where, text in written.items()
        for secret in secrets
        if secret.casefold() in text.casefold()
    ]


def _metrics(stack: RunningStack, service: str) -> str:
    return httpx.get(stack.metrics_url(service), timeout=5, trust_env=False).text


def ask_everything(stack: RunningStack) -> set[int]:
    """Send a marked value wherever a caller can, in right requests and in wrong ones; return the statuses."""
    key = stack.operator_key()
    keys = {"x-api-key": key, "authorization": f"Bearer {key}"}
    marked = keys | {
        "Idempotency-Key": f"{MARK}-{uuid.uuid4().hex}",
        "user-agent": MARK,
        "cookie": f"a={MARK}",
    }
    shop, flags = (
        httpx.Client(base_url=stack.url(name), timeout=ANSWER_S, trust_env=False)
        for name in ("inventory-api", "flag-service")
    )
    line = {"sku": SKU, "location": LOCATION, "quantity": 1}
    adjustment = {"sku": f"{MARK}-SKU", "location": MARK, "delta": 1, "reason": "RECEIPT"}
    hold = {"state": "DISABLED", "reason": f"because of {MARK}", "ttl_s": 60}
    with shop, flags:
        answers = [
            shop.post("/v1/reservations", json={"owner_ref": MARK, "lines": [line]}, headers=marked),
            shop.post("/v1/reservations", json={"owner_ref": MARK, "lines": MARK}, headers=marked),
            shop.post("/v1/adjustments", json=adjustment, headers=marked),
            shop.post("/v1/assistant", json={"question": f"Where does {MARK} live?"}, headers=marked),
            shop.get("/v1/search", params={"q": MARK}, headers=marked),
            shop.get(f"/v1/stock/{MARK}", headers=marked),
            shop.put(f"/v1/skus/{MARK}/image", content=MARK.encode(), headers=marked),
            shop.get(f"/{MARK}", headers={"authorization": f"Bearer {MARK}"}),
            shop.get("/v1/skus", headers={"x-api-key": MARK}),
            flags.put("/v1/holds/default/integrations.ai_assistant", json=hold, headers=marked),
            flags.put(f"/v1/holds/{MARK}/{MARK}", json=hold, headers=marked),
            flags.post("/v1/webhooks", json={"url": f"https://hooks.example/{MARK}"}, headers=marked),
            flags.post(
                "/ofrep/v1/evaluate/flags/integrations.ai_assistant", json={"context": {"targetingKey": MARK}}
            ),
            flags.get("/v1/webhooks", headers={"authorization": f"Bearer {MARK}"}),
        ]
    return {answer.status_code for answer in answers}


def load(stack: RunningStack, seconds: float) -> Counter[int]:
    """Ask again and again, each dependency and Kafka away for a while in turn; return the statuses seen."""
    seen = Counter(_asked(stack))
    parts = (*DEPENDENCIES, "kafka")
    for part in parts:
        end_s = time.monotonic() + seconds / len(parts)
        back_s = time.monotonic() + seconds / len(parts) * AWAY_SHARE
        stack.stop(part)
        while time.monotonic() < back_s:
            seen.update(_asked(stack))
        stack.restore(part)
        while time.monotonic() < end_s:
            seen.update(_asked(stack))
    return seen


def _asked(stack: RunningStack) -> set[int]:
    time.sleep(PAUSE_S)
    try:
        return ask_everything(stack)
    except (
        httpx.TransportError
    ):  # who waits for Kafka may not be answered in time; what is logged of it counts
        return set()


def _works(stack: RunningStack) -> bool:
    checks = Smoke(stack.url("inventory-api"), stack.url("flag-service"), "default").run()
    return all(check.passed for check in checks)


def main() -> int:
    """Load for as long as the options say; answer 0 when nothing leaked, 1 when something did."""
    parser = argparse.ArgumentParser(prog="marked_load", description="See tests/bench/marked_load.py.")
    parser.add_argument("--minutes", type=float, default=MINUTES, help="%(default)g by default")
    wished, _ = parser.parse_known_args()
    if wished.minutes <= 0:
        print("marked_load: --minutes is more than 0", file=sys.stderr)
        return USAGE
    with tempfile.TemporaryDirectory() as logs, running_stack(Path(logs), secured=True) as stack:
        until("every check passes", lambda: _works(stack), timeout_s=60)
        seen = load(stack, wished.minutes * 60)
        found = leaks(stack)
        logged_kb = sum(Place(stack.root).log(service).stat().st_size for service in SERVICES) / 1000
    print(f"{wished.minutes:g} minutes, {logged_kb:.0f} kB of logs; statuses {dict(sorted(seen.items()))}")
    for where, secret in found:
        print(f"{where} has {secret[:6]}...")
    return int(bool(found) or not SERVED | {REFUSED} <= seen.keys())


if __name__ == "__main__":
    sys.exit(main())
