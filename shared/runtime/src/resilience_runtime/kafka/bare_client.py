"""The client beneath aiokafka's admin client: it sends any request of the protocol."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError

from resilience_runtime.errors import RuntimeFault

from .access import KafkaAccess

ANSWER_S = 15.0


@asynccontextmanager
async def bare_client(kafka: KafkaAccess, fault: type[RuntimeFault]) -> AsyncIterator[AIOKafkaClient]:
    """Connect, and end the connection.

    Raises:
        RuntimeFault: of the kind `fault`, when the broker is away or does not answer.
    """
    client = AIOKafkaClient(**kafka.options(), request_timeout_ms=int(ANSWER_S * 1000))
    try:
        async with asyncio.timeout(ANSWER_S * 2):
            await client.bootstrap()
            yield client
    except (KafkaError, OSError, TimeoutError) as error:
        raise fault(f"{kafka.bootstrap}: {error or 'no answer'}") from error
    finally:
        await client.close()


async def ask(client: AIOKafkaClient, request: Any) -> Any:
    """Send a request to any broker and return its answer."""
    return await client.send(client.get_random_node(), request)
