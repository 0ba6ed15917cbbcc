"""Consumer groups, as Kafka knows them: how many members each has."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError, for_code

from resilience_runtime.kafka.access import KafkaAccess

from .apart import run_apart
from .errors import KAFKA_AWAY, StackError

ANSWER_S = 20.0
UNKNOWN_GROUP = 69
"""GROUP_ID_NOT_FOUND: newer brokers say so of a group that has no members."""


def members_of(kafka: KafkaAccess, groups: Sequence[str]) -> Mapping[str, int]:
    """Return how many members each group has; a group that Kafka does not know has none.

    Raises:
        StackError: Kafka does not answer, or does not tell.
    """
    try:
        return run_apart(_members(kafka, groups))
    except (KafkaError, OSError, TimeoutError) as error:
        raise StackError(
            f"Kafka at {kafka.bootstrap} does not tell who is in its groups ({type(error).__name__})",
            f"{KAFKA_AWAY}; they name a user who may describe groups",
        ) from error


async def _members(kafka: KafkaAccess, groups: Sequence[str]) -> dict[str, int]:
    admin = AIOKafkaAdminClient(**kafka.options(), request_timeout_ms=int(ANSWER_S * 1000))
    try:
        async with asyncio.timeout(ANSWER_S):
            await admin.start()
            answers = await admin.describe_consumer_groups(list(groups))
    finally:
        await admin.close()
    told = [group for answer in answers for group in answer.to_object()["groups"]]
    for group in told:
        if group["error_code"] not in {0, UNKNOWN_GROUP}:
            raise for_code(group["error_code"])(group["group"])
    return dict.fromkeys(groups, 0) | {group["group"]: len(group["members"]) for group in told}
