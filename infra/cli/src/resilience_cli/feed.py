"""Levels and holds as the running system publishes them, for status and watch."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from resilience_contracts import (
    CodecError,
    HoldSet,
    LevelState,
    Policy,
    PolicyError,
    Regions,
    Topic,
    UnknownEventError,
    View,
    decode,
    default_policy,
    parse_policy,
)
from resilience_runtime.bus import BadMessage, Message
from resilience_runtime.ending import end
from resilience_runtime.kafka.access import KafkaAccess
from resilience_runtime.kafka.replica import ReplicaReader

from .errors import KAFKA_AWAY, StackError

CAUGHT_UP_WITHIN_S = 10.0


@asynccontextmanager
async def followed(kafka: KafkaAccess, regions: Regions) -> AsyncIterator[View]:
    """Give a view that has caught up and stays current while inside; of other regions too, as they are mirrored.

    Raises:
        StackError: Kafka does not answer, or its topics do not exist.
    """
    view = View(load_policy())
    reader = ReplicaReader(
        kafka,
        (Topic.LEVELS, Topic.HOLDS),
        lambda message: apply_message(view, message),
        view.forget_holds,
        names=regions,
    )
    running = asyncio.create_task(reader.run())
    try:
        async with asyncio.timeout(CAUGHT_UP_WITHIN_S):
            await reader.wait_caught_up()
    except TimeoutError as error:
        await end(running)
        raise StackError(
            f"Kafka at {kafka.bootstrap} does not give its levels within {CAUGHT_UP_WITHIN_S:g} s",
            f"{KAFKA_AWAY}, or see `resilience doctor`",
        ) from error
    try:
        yield view
    finally:
        await end(running)


def apply_message(view: View, message: Message) -> None:
    """Take a record of the levels or holds topic into a view.

    Raises:
        BadMessage: it is neither.
    """
    if message.value is None:
        view.end_hold((message.key or b"").decode(errors="replace"), message.headers)
        return
    try:
        event = decode(message.value, message.headers).event
    except (CodecError, UnknownEventError) as error:
        raise BadMessage(str(error)) from error
    if isinstance(event, LevelState):
        view.apply_level(event)
    elif isinstance(event, HoldSet):
        view.apply_hold(event)


def load_policy() -> Policy:
    """Read the policy that the services read.

    Raises:
        StackError: RESILIENCE_POLICY_FILE names none.
    """
    path = os.environ.get("RESILIENCE_POLICY_FILE")
    if not path:
        return default_policy()
    try:
        return parse_policy(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, PolicyError) as error:
        raise StackError(
            f"{path} is no policy ({error})", "correct it, or unset RESILIENCE_POLICY_FILE"
        ) from error
