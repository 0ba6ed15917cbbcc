"""Topics as declared: created where missing, corrected where they differ, reported where they cannot be."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code

from resilience_runtime.errors import RuntimeFault

from .access import KafkaAccess

ANSWER_S = 15.0


class TopicsError(RuntimeFault):
    """The broker did not do what was asked of it about topics."""

    code = "topics_failed"


@dataclass(frozen=True, slots=True)
class TopicSpec:
    """A topic as it should be."""

    partitions: int
    replication: int = 1
    config: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Drift:
    """One way in which the broker differs from what is declared.

    Attributes:
        aspect: `topic`, `partitions` or the name of a setting.
        actual: None where there is none.
    """

    topic: str
    aspect: str
    declared: str
    actual: str | None

    def __str__(self) -> str:
        return f"{self.topic}: {self.aspect} is {self.actual or 'missing'}, declared {self.declared}"


async def check_topics(kafka: KafkaAccess | str, declared: Mapping[str, TopicSpec]) -> list[Drift]:
    """Return every difference between broker and declaration. Topics that are not declared are not looked at.

    Raises:
        TopicsError: the broker is away or refuses.
    """
    async with _admin(KafkaAccess.of(kafka)) as admin:
        return await _drift(admin, declared)


async def apply_topics(kafka: KafkaAccess | str, declared: Mapping[str, TopicSpec]) -> list[Drift]:
    """Create what is missing and correct what can be; returns what was done. A second call does nothing.

    Raises:
        TopicsError: the broker is away or refuses, or a topic has more partitions than declared.
    """
    async with _admin(KafkaAccess.of(kafka)) as admin:
        drift = await _drift(admin, declared)
        missing = {d.topic for d in drift if d.aspect == "topic"}
        await _create(admin, {topic: declared[topic] for topic in missing})
        await _add_partitions(admin, [d for d in drift if d.aspect == "partitions"])
        settings = {d.topic for d in drift if d.aspect not in {"topic", "partitions"}}
        await _configure(admin, {topic: declared[topic] for topic in settings})
    return drift


async def count_copies(kafka: KafkaAccess | str, topics: Collection[str]) -> dict[str, int]:
    """Return for each topic on how many brokers its scarcest partition is to be; 0 of one that Kafka does not tell of.

    Raises:
        TopicsError: the broker is away or refuses.
    """
    async with _admin(KafkaAccess.of(kafka)) as admin:
        return dict.fromkeys(topics, 0) | {
            topic["topic"]: min(len(partition["replicas"]) for partition in topic["partitions"])
            for topic in await admin.describe_topics(list(topics))
            if topic["error_code"] == 0
        }


@asynccontextmanager
async def _admin(kafka: KafkaAccess) -> AsyncIterator[AIOKafkaAdminClient]:
    admin = AIOKafkaAdminClient(**kafka.options(), request_timeout_ms=int(ANSWER_S * 1000))
    try:
        async with asyncio.timeout(ANSWER_S * 2):
            await admin.start()
            yield admin
    except (KafkaError, OSError, TimeoutError) as error:
        raise TopicsError(f"{kafka.bootstrap}: {error or 'no answer'}") from error
    finally:
        await admin.close()


async def _drift(admin: AIOKafkaAdminClient, declared: Mapping[str, TopicSpec]) -> list[Drift]:
    present = {
        topic["topic"]: len(topic["partitions"])
        for topic in await admin.describe_topics(list(declared))
        if topic["error_code"] == 0
    }
    configs = await _configs(admin, sorted(present))
    drift: list[Drift] = []
    for name, spec in declared.items():
        if name not in present:
            drift.append(Drift(name, "topic", f"{spec.partitions} partitions", None))
            continue
        if present[name] != spec.partitions:
            drift.append(Drift(name, "partitions", str(spec.partitions), str(present[name])))
        drift += [
            Drift(name, key, value, configs[name].get(key))
            for key, value in spec.config.items()
            if configs[name].get(key) != value
        ]
    return drift


async def _configs(admin: AIOKafkaAdminClient, topics: list[str]) -> dict[str, dict[str, str]]:
    if not topics:
        return {}
    responses = await admin.describe_configs(
        [ConfigResource(ConfigResourceType.TOPIC, name) for name in topics]
    )
    found: dict[str, dict[str, str]] = {name: {} for name in topics}
    for response in responses:
        for _code, _message, _type, name, entries in response.resources:
            found[name] = {entry[0]: entry[1] for entry in entries}
    return found


async def _create(admin: AIOKafkaAdminClient, specs: Mapping[str, TopicSpec]) -> None:
    if not specs:
        return
    new = [
        NewTopic(name, spec.partitions, spec.replication, topic_configs=dict(spec.config))
        for name, spec in specs.items()
    ]
    response = await admin.create_topics(new)
    _raise_for((name, code) for name, code, *_ in response.topic_errors)


async def _add_partitions(admin: AIOKafkaAdminClient, drift: list[Drift]) -> None:
    too_many = [str(d) for d in drift if int(d.actual or 0) > int(d.declared)]
    if too_many:
        raise TopicsError("; ".join(too_many) + " (partitions cannot be taken away)")
    if drift:
        response = await admin.create_partitions({d.topic: NewPartitions(int(d.declared)) for d in drift})
        _raise_for((name, code) for name, code, *_ in response.topic_errors)


async def _configure(admin: AIOKafkaAdminClient, specs: Mapping[str, TopicSpec]) -> None:
    if not specs:
        return
    resources = [
        ConfigResource(ConfigResourceType.TOPIC, name, dict(spec.config)) for name, spec in specs.items()
    ]
    for response in await admin.alter_configs(resources):
        _raise_for((name, code) for code, _message, _type, name in response.resources)


def _raise_for(codes: object) -> None:
    for name, code in codes:  # type: ignore[attr-defined]
        error = for_code(code)
        if code and error is not TopicAlreadyExistsError:
            raise TopicsError(f"{name}: {error.__name__}")
