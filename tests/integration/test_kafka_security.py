"""A Kafka that speaks TLS, asks for passwords and denies by default: each does its own work and nothing else."""

from __future__ import annotations

import asyncio
import gc
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.errors import GroupAuthorizationFailedError, KafkaError, TopicAuthorizationFailedError
from pydantic import SecretStr

from resilience_cli.rights import declared_rights
from resilience_cli.smoke import Smoke
from resilience_cli.stack import Place, run_apart
from resilience_cli.stack.certificates import AUTHORITY, write_certificates
from resilience_cli.stack.security import ADMIN, Security, environment_of
from resilience_client import LevelFeed
from resilience_client.kafka import KafkaSource
from resilience_contracts import Topic, dead_letter_topic
from resilience_runtime import KafkaAccess, KafkaPublisher, PublishError
from resilience_runtime.kafka.access import SecurityProtocol
from resilience_runtime.kafka.acls import Acl, Operation, Resource, apply_acls
from tests.bench.marked_load import ask_everything, leaks
from tests.cli.command import Command, until
from tests.fixtures.stack import RunningStack, running_stack

pytestmark = [
    pytest.mark.secured,
    pytest.mark.timeout(180),
    # aiokafka leaves a connection to the garbage collector when its handshake fails or takes too long.
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),
]

ENGINE, FLAGS, INVENTORY, MONITOR = (
    "degradation-engine", "flag-service", "inventory-api", "health-monitor",
)  # fmt: skip
OPERATOR, INTEGRATOR = "operator", "integrator"
EVERYBODY = {ENGINE, FLAGS, INVENTORY, MONITOR, OPERATOR, INTEGRATOR}
WRITERS = {
    Topic.HEALTH: {MONITOR, INVENTORY, OPERATOR},
    Topic.ENGINE_STATE: {ENGINE},
    Topic.LEVELS: {ENGINE},
    Topic.LEVEL_CHANGES: {ENGINE},
    Topic.HOLDS: {FLAGS},
    Topic.AUDIT: {FLAGS},
    Topic.WEBHOOKS: {FLAGS},
    Topic.COMMANDS: {INVENTORY, OPERATOR},
    Topic.STOCK: {INVENTORY},
    Topic.CHANGES: {INVENTORY},
    Topic.WRITES: {INVENTORY},
    Topic.STOCK_WEBHOOKS: {INVENTORY},
}
READERS = {
    Topic.HEALTH: {ENGINE, FLAGS, OPERATOR},
    Topic.ENGINE_STATE: {ENGINE, OPERATOR},
    Topic.LEVELS: {ENGINE, FLAGS, INVENTORY, OPERATOR, INTEGRATOR},
    Topic.LEVEL_CHANGES: {FLAGS, OPERATOR, INTEGRATOR},
    Topic.HOLDS: {ENGINE, FLAGS, INVENTORY, OPERATOR, INTEGRATOR},
    Topic.AUDIT: {FLAGS, OPERATOR},
    Topic.WEBHOOKS: {FLAGS, OPERATOR},
    Topic.COMMANDS: {INVENTORY, OPERATOR},
    Topic.STOCK: {INVENTORY, OPERATOR, INTEGRATOR},
    Topic.CHANGES: {INVENTORY, OPERATOR, INTEGRATOR},
    Topic.WRITES: {OPERATOR},
    Topic.STOCK_WEBHOOKS: {INVENTORY, OPERATOR},
}
SERVICES = (ENGINE, FLAGS, INVENTORY, MONITOR)
TIMEOUT_S = 20


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    with running_stack(tmp_path_factory.mktemp("secured"), secured=True) as stack:
        gc.collect()
        yield stack


@pytest.fixture(scope="module")
def access_of(stack: RunningStack) -> Callable[[str], KafkaAccess]:
    security = Security(Place(stack.root))
    return lambda principal: security.access(stack.bootstrap, principal)


@pytest.fixture
def command(stack: RunningStack) -> Command:
    return Command(stack.root)


def test_everything_works_as_without(stack: RunningStack, command: Command) -> None:
    def smoke() -> list[str]:
        checks = Smoke(stack.url(INVENTORY), stack.url(FLAGS), "default").run()
        return [f"{result.name}: {result.detail}" for result in checks if not result.passed]

    until("every check passes", lambda: not smoke())
    words = ("integrations.ai_assistant", "DISABLED", "--for", "1h", "--reason", "it is a test")
    held = command.call("hold", "set", *words)
    status = command.call("status", "--json")

    assert held.code == 0, held.err
    assert json.loads(status.out)["level"], status.err
    until("the audit has it", lambda: "integrations.ai_assistant" in command.run("audit", "export").stdout)


async def test_letters_of_what_cannot_be_read_come_from_each_reader(
    command: Command, access_of: Callable[[str], KafkaAccess]
) -> None:
    for principal, topic in ((MONITOR, Topic.HEALTH), (FLAGS, Topic.HOLDS), (INVENTORY, Topic.COMMANDS)):
        async with KafkaPublisher(access_of(principal)) as publisher:
            await publisher.publish(topic, b"default", b"no event")
    as_operator = Command(command.root, environment_of(access_of(OPERATOR)))

    def letters() -> dict[str, int]:
        called = as_operator.call("dlq", "list", "--json")
        return {group["topic"]: group["letters"] for group in json.loads(called.out)["groups"]}

    expected = {
        dead_letter_topic(Topic.HEALTH): 1,
        dead_letter_topic(Topic.HOLDS): 3,
        dead_letter_topic(Topic.COMMANDS): 1,
    }
    await asyncio.to_thread(until, "every letter is there", lambda: letters() == expected)
    again = await asyncio.to_thread(as_operator.call, "dlq", "replay", "--topic", str(Topic.HEALTH))
    assert again.code == 0, again.err


async def test_an_integrator_follows_the_level(access_of: Callable[[str], KafkaAccess]) -> None:
    async with LevelFeed(KafkaSource(access_of(INTEGRATOR))) as feed:
        await asyncio.wait_for(feed.known(), TIMEOUT_S)
        assert feed.level is not None


@pytest.mark.parametrize("principal", sorted(EVERYBODY))
async def test_nobody_writes_what_is_not_theirs(
    principal: str, access_of: Callable[[str], KafkaAccess]
) -> None:
    forbidden = {topic for topic, writers in WRITERS.items() if principal not in writers}

    refused = await refused_writes(access_of(principal), forbidden)

    assert refused == forbidden


@pytest.mark.parametrize("principal", sorted(EVERYBODY))
async def test_everybody_reads_what_is_theirs_and_nothing_else(
    principal: str, access_of: Callable[[str], KafkaAccess]
) -> None:
    refused = await refused_reads(access_of(principal))

    assert refused == {topic for topic, readers in READERS.items() if principal not in readers}


async def test_a_publisher_says_that_it_was_refused(access_of: Callable[[str], KafkaAccess]) -> None:
    async with KafkaPublisher(access_of(MONITOR)) as publisher:
        with pytest.raises(PublishError, match="TopicAuthorizationFailedError"):
            await publisher.publish(Topic.LEVELS, b"default", b"{}", deadline_s=TIMEOUT_S)


async def test_nobody_takes_partitions_from_the_engine(access_of: Callable[[str], KafkaAccess]) -> None:
    group = declared_rights()[ENGINE].groups[0]
    consumer = AIOKafkaConsumer(Topic.LEVELS, group_id=group, **access_of(INTEGRATOR).options())

    with pytest.raises(GroupAuthorizationFailedError):
        await asyncio.wait_for(consumer.start(), TIMEOUT_S)
    await consumer.stop()


async def test_whoever_does_not_prove_who_they_are_does_not_get_in(
    access_of: Callable[[str], KafkaAccess], tmp_path: Path
) -> None:
    write_certificates(tmp_path)
    admin = access_of(ADMIN)
    strangers = {
        "wrong password": replace(admin, password=SecretStr("wrong")),
        "unknown user": replace(admin, username="nobody"),
        "another broker's authority": replace(admin, cafile=tmp_path / AUTHORITY),
        "the system's authorities": replace(admin, cafile=None),
        "no password": KafkaAccess(admin.bootstrap, SecurityProtocol.SSL, cafile=admin.cafile),
        "no TLS": KafkaAccess(admin.bootstrap),
    }

    let_in = [name for name, access in strangers.items() if await gets_in(access)]
    gc.collect()

    assert let_in == []
    assert await gets_in(admin)


def test_the_command_says_in_one_line_what_to_correct(command: Command) -> None:
    env = Security(Place(command.root)).access(command.state().env["KAFKA_BOOTSTRAP_SERVERS"], ADMIN)
    wrong = environment_of(replace(env, password=SecretStr("marked-wrong")))

    called = Command(command.root, wrong).call("topics", "check")

    assert called.code == 3
    assert "correct the KAFKA_ variables" in called.err
    assert len(called.err.splitlines()) == 1
    assert "marked-wrong" not in called.err + called.out


def test_permissions_are_compared_and_made_as_declared(
    command: Command, access_of: Callable[[str], KafkaAccess]
) -> None:
    lost = Acl(f"User:{INTEGRATOR}", Operation.READ, Resource.TOPIC, Topic.STOCK)
    extra = Acl(f"User:{MONITOR}", Operation.WRITE, Resource.TOPIC, Topic.LEVELS)
    foreign = Acl("User:mirror", Operation.ALL, Resource.TOPIC, "*")
    as_declared = command.call("acls", "check")
    declared = {acl for name, rights in declared_rights().items() for acl in rights.acls(name)}
    run_apart(apply_acls(access_of(ADMIN), (declared - {lost}) | {extra, foreign}))

    found = command.call("acls", "check", "--json")
    mended = command.call("acls", "apply", "--json")
    again = command.call("acls", "apply")

    assert (as_declared.code, as_declared.out) == (0, "Every permission is as declared\n")
    assert found.code == 1
    assert json.loads(found.out) == {"missing": [str(lost)], "extra": [str(extra)], "foreign": [str(foreign)]}
    assert json.loads(mended.out) == {"given": [str(lost)], "taken": [str(extra)]}
    assert again.out == "Every permission is as declared\n"
    assert command.call("acls", "check").code == 1, "what others may do stays, and is told"


def test_only_a_super_user_changes_permissions(
    command: Command, access_of: Callable[[str], KafkaAccess]
) -> None:
    called = Command(command.root, environment_of(access_of(OPERATOR))).call("acls", "apply")

    assert called.code == 3
    assert "ClusterAuthorizationFailedError" in called.err


def test_no_service_was_refused_anything(stack: RunningStack) -> None:
    for service in SERVICES:
        log = Place(stack.root).log(service).read_text(encoding="utf-8")
        assert log
        assert "Authorization" not in log, service


def test_logs_and_metrics_hold_no_key_and_no_value_of_a_customer(stack: RunningStack) -> None:
    well = ask_everything(stack)
    stack.stop("postgresql")
    away = ask_everything(stack)  # errors like to quote what they were about
    stack.restore("postgresql")

    assert well >= {200, 201, 401, 404, 422}
    assert 503 in away
    assert leaks(stack) == []


async def refused_writes(access: KafkaAccess, topics: set[Topic]) -> set[Topic]:
    refused = set()
    async with AIOKafkaProducer(**access.options()) as producer:
        for topic in topics:
            try:
                await asyncio.wait_for(producer.send_and_wait(topic, b"{}", b"default"), TIMEOUT_S)
            except TopicAuthorizationFailedError:
                refused.add(topic)
    return refused


async def refused_reads(access: KafkaAccess) -> set[Topic]:
    may = await asyncio.gather(*(reads(access, topic) for topic in Topic))
    return {topic for topic, allowed in zip(Topic, may, strict=True) if not allowed}


async def reads(access: KafkaAccess, topic: Topic) -> bool:
    consumer = AIOKafkaConsumer(
        topic,
        **access.options(),
        auto_offset_reset="earliest",
        fetch_max_wait_ms=100,
        request_timeout_ms=15_000,
    )
    try:
        await asyncio.wait_for(consumer.start(), TIMEOUT_S)
        await consumer.getmany(timeout_ms=1000)
    except TopicAuthorizationFailedError:
        return False
    finally:
        await consumer.stop()
    return True


async def gets_in(access: KafkaAccess) -> bool:
    producer = AIOKafkaProducer(**access.options(), request_timeout_ms=10_000)
    try:
        await asyncio.wait_for(producer.start(), TIMEOUT_S)
    except (KafkaError, OSError):
        return False
    finally:
        await producer.stop()
    return True
