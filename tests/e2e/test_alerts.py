"""A real Prometheus on the running system: a real fault fires its alerts, and its end resolves them."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

import asyncpg
import httpx
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.structs import ConsumerRecord

from resilience_cli.demo import await_level
from resilience_cli.stack import run_apart
from resilience_contracts import Topic
from tests.e2e.quick import quick_policy_text
from tests.e2e.shop import LOCATION, SKU, STOCK, Shop, until
from tests.fixtures.prometheus import Prometheus, running_prometheus
from tests.fixtures.stack import RunningStack

pytestmark = [pytest.mark.e2e, pytest.mark.operations, pytest.mark.timeout(300)]

SERVICES = ("inventory-api", "flag-service", "health-monitor", "degradation-engine")
WAIT_S = 60
OF_AN_OUTAGE = {
    "LevelMinimalOrWorse",
    "LevelBudgetBurnsFast",
    "LevelBudgetBurns",
    "AvailabilityBudgetBurnsFast",
    "AvailabilityBudgetBurns",
    "BreakerOpen",
    "CommandsWait",
}
OF_A_LOST_LOG = {"LevelStale", "ChangesNotPublished", "RedoNotPublished", "EventsLost"}
REPEATED = 20_000
"""Events that are sent again: more than EngineBehind allows, and more than an engine takes between two scrapes."""
UNREADABLE = 60


@pytest.fixture(scope="module")
def prometheus(quick_stack: RunningStack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    await_level(quick_stack.url("flag-service"))
    targets = {name: quick_stack.url(f"{name}-metrics").removeprefix("http://") for name in SERVICES}
    with running_prometheus(Path(tmp_path_factory.mktemp("prometheus")), targets, for_s=0) as prometheus:
        until("metrics of every service", prometheus.targets_up, WAIT_S)
        yield prometheus


def firing(prometheus: Prometheus) -> set[str]:
    return {name for name, state in prometheus.alerts().items() if state == "firing"}


def nothing() -> None:
    """Leave it at that."""


def await_each(prometheus: Prometheus, wanted: Collection[str], use: Callable[[], object]) -> None:
    """Use the shop until each alert has fired, be it one after the other."""
    missing = set(wanted)

    def none_missing() -> bool:
        use()
        missing.difference_update(firing(prometheus))
        return not missing

    try:
        until("every alert", none_missing, WAIT_S)
    except AssertionError as error:
        raise AssertionError(f"not fired: {sorted(missing)}; firing: {firing(prometheus)}") from error


def fire_and_end(
    prometheus: Prometheus,
    wanted: Collection[str],
    *,
    fault: Callable[[], object],
    mend: Callable[[], object],
    use: Callable[[], object] = nothing,
    after: Collection[str] = (),
) -> None:
    """Out of silence, bring a fault about until each alert has fired, and mend it until none fires.

    Args:
        wanted: what the fault fires.
        fault: brings it about.
        mend: ends it, however it went.
        use: what the shop does meanwhile.
        after: what fires only once it is mended.
    """
    until("no alert", lambda: not firing(prometheus), WAIT_S)
    try:
        fault()
        await_each(prometheus, wanted, use)
    finally:
        mend()
    await_each(prometheus, after, nothing)
    until("the end of every alert", lambda: not firing(prometheus), WAIT_S)


@contextmanager
def running_with(stack: RunningStack, part: str, **env: str) -> Iterator[None]:
    """Run a service with other settings."""
    stack.restart(part, **env)
    try:
        yield
    finally:
        stack.restart(part)


def test_a_killed_database_fires_what_burns_and_waits_and_then_what_cannot_be_applied(
    quick_stack: RunningStack, prometheus: Prometheus, shop: Shop
) -> None:
    def lose_more_than_there_is() -> bool:
        body = {"sku": SKU, "location": LOCATION, "delta": -1_000 * STOCK, "reason": "LOSS"}
        return shop.post("/v1/adjustments", body).status_code == httpx.codes.ACCEPTED

    def kill() -> None:
        quick_stack.stop("postgresql")
        until("a write that is accepted", lose_more_than_there_is)

    fire_and_end(
        prometheus,
        OF_AN_OUTAGE,
        fault=kill,
        mend=lambda: quick_stack.restore("postgresql"),
        use=lambda: (shop.receive(), shop.reserve()),
        after={"CommandsNeedAPerson"},
    )

    (left,) = shop.inventory.get("/v1/operations").raise_for_status().json()["items"]
    assert left["status"] == "exception"


def test_a_killed_log_fires_what_is_old_unpublished_and_lost(
    quick_stack: RunningStack, prometheus: Prometheus, shop: Shop
) -> None:
    with running_with(quick_stack, "health-monitor", PUBLISH_CAPACITY="20"):
        fire_and_end(
            prometheus,
            OF_A_LOST_LOG,
            fault=lambda: quick_stack.stop("kafka"),
            mend=lambda: quick_stack.restore("kafka"),
            use=shop.receive,
        )


def test_a_frozen_service_fires_its_alert_and_what_it_does_not_do_any_more(
    quick_stack: RunningStack, prometheus: Prometheus
) -> None:
    fire_and_end(
        prometheus,
        {"ServiceDown", "ProbesStopped"},
        fault=lambda: quick_stack.pause("health-monitor"),
        mend=lambda: quick_stack.restore("health-monitor"),
    )


def test_a_killed_engine_leaves_partitions_alone_and_comes_back_to_a_backlog(
    quick_stack: RunningStack, prometheus: Prometheus
) -> None:
    def kill() -> None:
        quick_stack.stop("degradation-engine")
        run_apart(send_again(quick_stack.bootstrap, REPEATED))

    fire_and_end(
        prometheus,
        {"ServiceDown", "PartitionsWithoutOwner"},
        fault=kill,
        mend=lambda: quick_stack.restore("degradation-engine"),
        after={"EngineBehind"},
    )


async def send_again(bootstrap: str, times: int) -> None:
    """Repeat the next health event, as an observer does that never hears that it was taken."""
    reader = AIOKafkaConsumer(Topic.HEALTH, bootstrap_servers=bootstrap, auto_offset_reset="latest")
    async with asyncio.timeout(WAIT_S), reader, AIOKafkaProducer(bootstrap_servers=bootstrap) as producer:
        seen: ConsumerRecord = await reader.getone()
        while seen.key != b"default":
            seen = await reader.getone()
        for _ in range(times):
            await producer.send(Topic.HEALTH, seen.value, seen.key, headers=list(seen.headers))
        await producer.flush()


def test_bytes_that_are_no_events_are_told_of(quick_stack: RunningStack, prometheus: Prometheus) -> None:
    async def send() -> None:
        async with AIOKafkaProducer(bootstrap_servers=quick_stack.bootstrap) as producer:
            for _ in range(UNREADABLE):
                await producer.send_and_wait(Topic.HEALTH, os.urandom(64), b"default")

    fire_and_end(prometheus, {"EventsRefused"}, fault=lambda: run_apart(send()), mend=nothing)


def test_a_killed_assistant_is_a_ticket(quick_stack: RunningStack, prometheus: Prometheus) -> None:
    fire_and_end(
        prometheus,
        {"LevelLimited"},
        fault=lambda: quick_stack.stop("openai"),
        mend=lambda: quick_stack.restore("openai"),
    )


def test_a_service_with_another_policy_is_told_of(
    quick_stack: RunningStack, prometheus: Prometheus, tmp_path: Path
) -> None:
    other = tmp_path / "policy.yaml"
    other.write_text(quick_policy_text() + "# another\n", encoding="utf-8")

    fire_and_end(
        prometheus,
        {"PolicyDiffers"},
        fault=lambda: quick_stack.restart("flag-service", RESILIENCE_POLICY_FILE=str(other)),
        mend=lambda: quick_stack.restart("flag-service"),
    )


@pytest.mark.usefixtures("shop")
def test_a_figure_changed_by_hand_contradicts_its_ledger_until_it_is_set_back(
    quick_stack: RunningStack, prometheus: Prometheus
) -> None:
    async def execute(statement: str) -> None:
        connection = await asyncpg.connect(quick_stack.env["DATABASE_URL"])
        try:
            await connection.execute(statement)
        finally:
            await connection.close()

    by_hand = "UPDATE stock_levels SET on_hand = on_hand + 1 WHERE id = (SELECT min(level_id) FROM ledger)"
    by_the_ledger = (
        "UPDATE stock_levels SET on_hand = (SELECT sum(delta) FROM ledger WHERE level_id = stock_levels.id)"
        " WHERE id IN (SELECT level_id FROM ledger)"
    )
    with running_with(quick_stack, "inventory-api", AUDIT_INTERVAL_S="1"):
        fire_and_end(
            prometheus,
            {"StockContradictsItself"},
            fault=lambda: run_apart(execute(by_hand)),
            mend=lambda: run_apart(execute(by_the_ledger)),
        )
