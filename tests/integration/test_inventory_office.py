"""The back office of a running service, and its whole document under generated requests."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import time
import uuid
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import positive_data_acceptance

from resilience_contracts import FeatureState, Level, encode
from resilience_runtime import KafkaPublisher, create_key
from tests.contracts.states import level_state
from tests.fixtures.stack import RunningStack, running_stack

pytestmark = pytest.mark.timeout(240)

PARTS = ("kafka", "postgresql", "redis", "s3", "openai", "inventory-api")


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    with running_stack(Path(tmp_path_factory.mktemp("office")), parts=PARTS) as stack:
        yield stack


@pytest.fixture(scope="module")
def api(stack: RunningStack) -> Iterator[httpx.Client]:
    url = stack.url("inventory-api")
    with httpx.Client(base_url=url, timeout=20, trust_env=False) as client:
        client.headers["X-API-Key"] = stack.operator_key()
        assert client.post("/v1/locations", json={"code": "shop", "name": "Shop"}).status_code == 201
        asyncio.run(publish_optimal(stack.bootstrap))
        end_s = time.monotonic() + 30
        while not client.get("/health/live").headers["Resilience-Level"].startswith("OPTIMAL"):
            assert time.monotonic() < end_s
            time.sleep(0.05)
        yield client


async def publish_optimal(bootstrap: str) -> None:
    """Say what the engine would, so that every feature is on but webhooks: made-up hosts are told nothing."""
    now = datetime.now(UTC)
    features = {"integrations.webhooks": FeatureState.FALLBACK}
    state = level_state(Level.OPTIMAL, (1, 1), now, features).model_copy(
        update={"next_heartbeat_by": now + timedelta(minutes=10)}
    )
    async with KafkaPublisher(bootstrap) as publisher:
        await publisher.publish(*encode(state, "/tests"), deadline_s=20)


def import_csv(api: httpx.Client, text: str | bytes, **query: str) -> httpx.Response:
    return api.post("/v1/imports", content=text, params=query, headers={"Content-Type": "text/csv"})


def name() -> str:
    return f"SKU-{uuid.uuid4().hex[:10]}"


def test_import_list_search_and_export(api: httpx.Client) -> None:
    sku = name()
    text = f'sku,location,on_hand,name,unit_cost\n{sku},shop,12,"=SUM(1) tee",4.20\n'

    checked = import_csv(api, text, dry_run="true")
    assert checked.status_code == 200, checked.text
    done = import_csv(api, text)

    assert (checked.status_code, checked.json()["changed"]) == (200, 1)
    assert (done.status_code, done.json()["status"]) == (201, "applied")
    assert api.get(done.headers["Location"]).json() == done.json()
    stock = api.get(f"/v1/stock/{sku}").json()
    assert stock["locations"][0]["on_hand"] == 12
    assert api.get("/v1/search", params={"q": sku.lower()}).json()["items"][0]["unit_cost"] == "4.2000"
    listed = api.get("/v1/stock", params={"location": "shop", "limit": 200}).json()["items"]
    assert {"sku": sku, "on_hand": 12}.items() <= next(row for row in listed if row["sku"] == sku).items()

    exported = api.get("/v1/exports/stock.csv")
    rows = {row["sku"]: row for row in csv.DictReader(io.StringIO(exported.text))}
    assert rows[sku]["name"] == "'=SUM(1) tee"
    again = import_csv(api, exported.content)
    assert (again.status_code, again.json()["changed"], again.json()["failed"]) == (201, 0, 0)
    assert api.get(f"/v1/skus/{sku}").json()["name"] == "=SUM(1) tee"


def test_a_wrong_row_is_named_and_nothing_is_taken_b13(api: httpx.Client) -> None:
    sku = name()
    import_csv(api, f"sku,location,on_hand,name\n{sku},shop,7,Tee\n")

    refused = import_csv(api, f"sku,location,on_hand\n{sku},shop,abc\n")

    assert (refused.status_code, refused.json()["code"]) == (422, "import_refused")
    assert refused.json()["errors"][0].items() >= {"line": 2, "column": "on_hand"}.items()
    assert api.get(f"/v1/stock/{sku}").json()["available"] == 7
    cut = import_csv(api, f"sku,location,on_hand\n{sku},shop,1")
    assert (cut.status_code, cut.json()["errors"][0]["code"]) == (422, "cut")


def test_a_file_that_is_too_large_is_refused_without_reading_it(api: httpx.Client) -> None:
    connection = HTTPConnection(api.base_url.host, api.base_url.port, timeout=10)
    with closing(connection):
        connection.putrequest("POST", "/v1/imports")
        connection.putheader("X-API-Key", api.headers["X-API-Key"])
        connection.putheader("Content-Length", str(10**9))
        connection.endheaders()
        assert connection.getresponse().status == 413


def test_an_answer_that_the_client_has_is_304(api: httpx.Client) -> None:
    sku = name()
    import_csv(api, f"sku,location,on_hand,name\n{sku},shop,7,Tee\n")

    for path in (f"/v1/stock/{sku}", f"/v1/skus/{sku}", "/v1/stock?limit=1", f"/v1/search?q={sku}"):
        tag = api.get(path).headers["ETag"]
        known = api.get(path, headers={"If-None-Match": tag})
        assert (known.status_code, known.content, known.headers["ETag"]) == (304, b"", tag), path
        assert api.get(path, headers={"If-None-Match": 'W/"other"'}).status_code == 200

    tag = api.get(f"/v1/stock/{sku}").headers["ETag"]
    import_csv(api, f"sku,location,on_hand\n{sku},shop,8\n")
    assert api.get(f"/v1/stock/{sku}", headers={"If-None-Match": tag}).status_code == 200


def test_keys_of_the_stack(stack: RunningStack) -> None:
    file = Path(stack.env["API_KEYS_FILE"])
    key, entry = create_key("reader", frozenset({"read"}))
    file.write_text(json.dumps([*json.loads(file.read_text()), entry.model_dump(mode="json")]))
    with httpx.Client(base_url=stack.url("inventory-api"), trust_env=False) as api:
        answer = api.get("/v1/locations", headers={"X-API-Key": key})
        assert answer.status_code == 200
        assert answer.headers["RateLimit"].startswith('"default";r=')
        body = {"code": "x", "name": "X"}
        assert api.post("/v1/locations", json=body, headers={"X-API-Key": key}).status_code == 403
        assert api.get("/v1/locations", headers={"X-API-Key": "wrong"}).status_code == 401
        assert api.get("/v1/locations").status_code == 200


def test_figures_and_words(api: httpx.Client) -> None:
    sku = name()
    import_csv(api, f"sku,location,on_hand,name\n{sku},shop,7,Tee\n")

    assert api.get("/v1/dashboard").json()["on_hand"] >= 7
    ahead = api.get(f"/v1/forecasts/{sku}").json()
    assert len(ahead["days"]) == 14
    assert ahead["explanation"]
    for path in ("/v1/reports/valuation", "/v1/reports/turnover", f"/v1/recommendations/{sku}"):
        assert api.get(path).status_code == 200


def test_every_answer_is_one_that_the_document_names(api: httpx.Client) -> None:
    whole = schemathesis.openapi.from_url(f"{api.base_url}/openapi.json")
    document = whole.exclude(path="/v1/stream")  # which never ends
    operations = [result.ok() for result in document.get_all_operations() if isinstance(result, Ok)]
    end_s = time.monotonic() + 60

    for operation in operations:

        @given(case=operation.as_strategy())
        @settings(max_examples=4, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
        def check(case: schemathesis.Case[Any]) -> None:
            answer = case.call(headers={"X-API-Key": api.headers["X-API-Key"]})
            assert (
                answer.status_code < 500 or "retry-after" in answer.headers
            )  # whose names are lower case here
            # What a SKU is cannot be said by a schema: hence no check that valid data is taken.
            case.validate_response(answer, excluded_checks=[positive_data_acceptance, not_a_server_error])

        check()

    assert len(operations) > 30
    assert time.monotonic() < end_s
