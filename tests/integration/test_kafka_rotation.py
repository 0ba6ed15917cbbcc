"""Passwords of Kafka change while a whole system works: no service is restarted, and nothing is lost."""

from __future__ import annotations

import gc
import stat
import threading
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr

from resilience_cli.records import read_records
from resilience_cli.stack import SERVICES, PartState, Place, run_apart
from resilience_cli.stack.security import ADMIN, Security, environment_of
from resilience_contracts import Level, StockState, Topic, decode
from resilience_runtime import KafkaAccess
from tests.cli.command import Command
from tests.e2e.losing import follows
from tests.e2e.quick import quick_policy_text
from tests.e2e.shop import LOCATION, SKU, STOCK, Shop, until
from tests.e2e.test_outages import both_at
from tests.fixtures.stack import RunningStack, running_stack
from tests.integration.test_kafka_security import OPERATOR, gets_in

pytestmark = [
    pytest.mark.secured,
    pytest.mark.timeout(300),
    # aiokafka leaves a connection to the garbage collector when its handshake fails or takes too long.
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),
]

FEATURE = "integrations.ai_assistant"
PACE_S = 0.05


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    logs = tmp_path_factory.mktemp("rotation")
    with running_stack(logs, policy_text=quick_policy_text(), secured=True) as stack:
        gc.collect()
        yield stack


@pytest.fixture(scope="module")
def shop(stack: RunningStack) -> Iterator[Shop]:
    shop = Shop(stack.url("inventory-api"), stack.url("flag-service"), stack.operator_key())
    shop.seed()
    yield shop
    shop.close()


@pytest.fixture
def security(stack: RunningStack) -> Security:
    return Security(Place(stack.root))


def test_only_a_super_user_changes_a_password(stack: RunningStack, security: Security) -> None:
    file = security.password_file("flag-service")
    before = file.read_text(encoding="utf-8")
    operator = environment_of(security.access(stack.bootstrap, OPERATOR))

    called = Command(stack.root, operator).call("keys", "kafka", "flag-service", "--file", str(file))

    assert (called.code, called.out, len(called.err.splitlines())) == (3, "", 1)
    assert "ClusterAuthorizationFailedError" in called.err
    assert file.read_text(encoding="utf-8") == before
    assert not list(file.parent.glob(".*"))
    assert run_apart(gets_in(security.access(stack.bootstrap, "flag-service")))


def test_every_password_changes_under_load_and_nothing_is_restarted_or_lost(
    stack: RunningStack, security: Security, shop: Shop
) -> None:
    old = {service: remembered(security.access(stack.bootstrap, service)) for service in SERVICES}
    was = processes(stack)
    before = both_at(shop, Level.OPTIMAL)

    with receiving(shop) as received:
        for service in SERVICES:
            renew(stack, service, security.password_file(service))
        for service, access in old.items():
            until(f"the old password of {service} is refused", partial(refused, access))
        stack.stop("kafka")  # every session ends
        stack.restore("kafka")
        follows(stack, shop, before)
        until("the assistant answers", lambda: shop.ask().status_code == httpx.codes.OK)
        shop.hold(FEATURE, "DISABLED")
        until("inventory-api knows the hold", lambda: shop.ask().status_code != httpx.codes.OK)

    assert processes(stack) == was
    until("every receipt is in the books", lambda: shop.on_hand() == STOCK + len(received))
    admin = security.access(stack.bootstrap, ADMIN)
    until("and in the topic", lambda: published(admin) == STOCK + len(received))
    assert Command(stack.root).call("audit", "verify").code == 0
    for service, access in old.items():
        file = security.password_file(service)
        assert refused(access)
        assert run_apart(gets_in(replace(access, password=file)))
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    gc.collect()


def remembered(access: KafkaAccess) -> KafkaAccess:
    """With the password that is in the file now."""
    assert isinstance(access.password, Path)
    return replace(access, password=SecretStr(access.password.read_text(encoding="utf-8")))


def renew(stack: RunningStack, service: str, file: Path) -> None:
    called = Command(stack.root).call("keys", "kafka", service, "--file", str(file))
    assert called.code == 0, called.err
    assert file.read_text(encoding="utf-8") not in called.out


def refused(access: KafkaAccess) -> bool:
    return not run_apart(gets_in(access))


def processes(stack: RunningStack) -> dict[str, tuple[int, float, int]]:
    def told(part: PartState) -> tuple[int, float, int]:
        return part.pid, part.create_time, part.restarts

    return {service: told(Command(stack.root).state().parts[service]) for service in SERVICES}


@contextmanager
def receiving(shop: Shop) -> Iterator[list[str]]:
    """Receive a unit again and again meanwhile, each under one key until it is accepted; give their keys."""
    done = threading.Event()
    received: list[str] = []

    def work() -> None:
        while not done.wait(PACE_S):
            key = uuid.uuid4().hex
            until("a receipt is accepted", partial(accepted, shop, key))
            received.append(key)

    with ThreadPoolExecutor(1) as pool:
        working = pool.submit(work)
        try:
            yield received
        finally:
            done.set()
        working.result()
    assert received


def accepted(shop: Shop, key: str) -> bool:
    body = {"sku": SKU, "location": LOCATION, "delta": 1, "reason": "RECEIPT"}
    return shop.post("/v1/adjustments", body, key).is_success


def published(access: KafkaAccess) -> int:
    """What was last told of the SKU."""
    records = [each for each in read_records(access, [Topic.STOCK]) if each.key == SKU.encode()]
    event = decode(records[-1].value, records[-1].headers).event
    assert isinstance(event, StockState)
    return sum(place.on_hand for place in event.locations)
