"""The flag service as processes on a real Kafka; for tests."""

from __future__ import annotations

import asyncio
import os
import sys
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
from aiokafka import AIOKafkaConsumer, TopicPartition

from resilience_cli.stack import free_ports
from resilience_contracts import (
    AuditRecorded,
    CodecError,
    FeatureState,
    Level,
    LevelState,
    Topic,
    decode,
    encode,
)
from resilience_runtime import KafkaPublisher, create_key
from tests.contracts.states import level_state

HELD = "integrations.ai_assistant"
WAIT_S = 30
KEY, ENTRY = create_key("olivia", frozenset({"write"}))


@dataclass(slots=True)
class Flags:
    """One `python -m flag_service`, and what tells it of levels."""

    client: httpx.AsyncClient
    process: asyncio.subprocess.Process
    log: Path
    metrics_url: str

    async def feature(self) -> dict[str, Any]:
        features: list[dict[str, Any]] = (await self.client.get("/v1/features")).json()["features"]
        return next(feature for feature in features if feature["key"] == HELD)

    async def until_state(self, state: FeatureState) -> dict[str, Any]:
        async with asyncio.timeout(WAIT_S):
            while True:
                with suppress(httpx.TransportError):
                    feature = await self.feature()
                    if feature["state"] == state:
                        return feature
                assert self.process.returncode is None, self.log.read_text()
                await asyncio.sleep(0.01)

    async def put(self, scope: str, **asked: Any) -> httpx.Response:
        body = {"reason": "the assistant invents prices"} | asked
        return await self.client.put(f"/v1/holds/{scope}/{HELD}", json=body, headers={"X-API-Key": KEY})


class World:
    """A Kafka, a scope of one test in it, and the services that the test starts."""

    def __init__(
        self, bootstrap: str, directory: Path, publisher: KafkaPublisher, stack: AsyncExitStack
    ) -> None:
        self.bootstrap = bootstrap
        self.scope = f"t-{uuid.uuid4().hex[:8]}"
        self.directory = directory
        self.publisher = publisher
        self._stack = stack

    async def flags(self, name: str = "flags-1", **env: str) -> Flags:
        return await self._stack.enter_async_context(self._process(name, env))

    async def tell(self, level: Level, counter: int = 1, **changes: Any) -> LevelState:
        state = level_state(level, (1, counter), at=datetime.now(UTC), scope=self.scope)
        state = state.model_copy(update=changes)
        await self.publisher.publish(*encode(state, "/services/test/1"))
        return state

    @asynccontextmanager
    async def _process(self, name: str, env: dict[str, str]) -> AsyncIterator[Flags]:
        port, metrics_port = free_ports(2)
        log, keys = self.directory / f"{name}.log", self.directory / "keys.json"
        keys.write_text(f"[{ENTRY.model_dump_json()}]")
        settings = {
            "PORT": str(port),
            "METRICS_PORT": str(metrics_port),
            "INSTANCE": f"{self.scope}.{name}",
            "STATE_DIR": str(self.directory / name),
            "KAFKA_BOOTSTRAP_SERVERS": self.bootstrap,
            "RESILIENCE_SCOPE": self.scope,
            "API_KEYS_FILE": str(keys),
        }
        with log.open("wb") as out:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "flag_service", env=os.environ | settings | env, stdout=out, stderr=out
            )
        url = f"http://127.0.0.1:{port}"
        try:
            async with httpx.AsyncClient(base_url=url, timeout=20, trust_env=False) as client:
                yield Flags(client, process, log, f"http://127.0.0.1:{metrics_port}/metrics")
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()

    async def records(self, topic: str) -> list[Any]:
        consumer = AIOKafkaConsumer(bootstrap_servers=self.bootstrap, auto_offset_reset="earliest")
        await consumer.start()
        try:
            partition = TopicPartition(topic, 0)
            consumer.assign([partition])
            end = (await consumer.end_offsets([partition]))[partition]
            found: list[Any] = []
            while await consumer.position(partition) < end:
                found += (await consumer.getmany(partition, timeout_ms=500)).get(partition, [])
            return found
        finally:
            await consumer.stop()

    async def audit(self) -> list[AuditRecorded]:
        found = []
        for record in await self.records(Topic.AUDIT):
            with suppress(CodecError):
                event = decode(record.value, record.headers).event
                if isinstance(event, AuditRecorded) and event.scope == self.scope:
                    found.append(event)
        return found
