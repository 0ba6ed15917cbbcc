"""Two replicas, one of which is cut off again and again, and sees its log begin anew."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

import pytest

from resilience_contracts import FeatureState, Level, Topic, encode, tombstone
from resilience_runtime import MemoryBus
from tests.contracts.states import hold_set, level_state
from tests.flag_service.running import SOURCE, Replica, listening, running, until

SCOPES = ("default", "eu-west")
HELD = "integrations.ai_assistant"
PATHS = ("/v1/levels", "/v1/features", "/v1/holds", "/v1/features?scope=eu-west")
BULK = "/ofrep/v1/evaluate/flags"
STEPS = 60


class Mirror:
    """Copies one bus to another, except while it is cut."""

    def __init__(self, source: MemoryBus) -> None:
        self.source = source
        self.copy = MemoryBus()
        self.connected = True
        self._copied: dict[str, int] = {}

    async def sync(self) -> None:
        if not self.connected:
            return
        for topic in (Topic.LEVELS, Topic.HOLDS):
            for record in self.source.records(topic)[self._copied.get(topic, 0) :]:
                await self.copy.publish(topic, record.key, record.value, record.headers)
            self._copied[topic] = len(self.source.records(topic))

    async def begin_anew(self) -> None:
        """Lose the copied log, and copy everything from its start."""
        for topic in (Topic.LEVELS, Topic.HOLDS):
            self.copy.reset(topic)
        self._copied.clear()
        await asyncio.sleep(0)
        await self.sync()


async def shown(replica: Replica) -> list[tuple[bytes, str | None]]:
    """Return every body with its tag."""
    answers = [await replica.client.get(path) for path in PATHS]
    answers += [
        await replica.client.post(BULK, json={"context": {"resilience.scope": scope}}) for scope in SCOPES
    ]
    return [(answer.content, answer.headers.get("ETag")) for answer in answers]


class Watch:
    """Notes versions and complains of one that is older than one before it."""

    def __init__(self) -> None:
        self._newest: dict[str, tuple[int, int]] = {}
        self.seen = 0

    def note(self, scope: str, text: str) -> None:
        epoch, counter = text.split(".")
        version = (int(epoch), int(counter))
        assert version >= self._newest.get(scope, (0, 0)), f"{scope}: {version} after {self._newest[scope]}"
        self._newest[scope] = version
        self.seen += 1

    async def poll(self, replica: Replica) -> None:
        while True:
            for level in (await replica.client.get("/v1/levels")).json()["levels"]:
                self.note(level["scope"], level["version"])
            await asyncio.sleep(0)

    async def listen(self, replica: Replica) -> None:
        async with listening(replica) as stream:
            while True:
                kind, data = await stream.next("snapshot", "state")
                for scope in data["scopes"] if kind == "snapshot" else [data]:
                    if scope["level"]:
                        self.note(scope["level"]["scope"], scope["level"]["version"])


async def something(bus: MemoryBus, rng: Random, counter: int) -> None:
    """Publish a level, or set or end a hold."""
    scope, now = rng.choice(SCOPES), datetime.now(UTC)
    kind = rng.choice(["level", "level", "hold", "end"])
    if kind == "level":
        level = level_state(Level(rng.randrange(5)), (1 + counter // 30, counter), at=now, scope=scope)
        await bus.publish(*encode(level, SOURCE))
    elif kind == "hold":
        state = rng.choice([FeatureState.DISABLED, FeatureState.FALLBACK])
        hold = hold_set(state, set_at=now, version=counter)
        hold = hold.model_copy(update={"scope": scope, "expires_at": now + timedelta(hours=1)})
        await bus.publish(*encode(hold, SOURCE))
    else:
        await bus.publish(*tombstone(Topic.HOLDS, f"{scope}/{HELD}"))


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_they_agree_to_the_byte_and_the_one_that_was_cut_off_never_goes_back(
    tmp_path: Path, seed: int
) -> None:
    rng, bus = Random(seed), MemoryBus()
    mirror, watch = Mirror(bus), Watch()
    for number, scope in enumerate(SCOPES):
        await bus.publish(
            *encode(level_state(Level.OPTIMAL, (1, number), scope=scope, at=datetime.now(UTC)), SOURCE)
        )
    await mirror.sync()
    async with (
        running(bus, tmp_path / "1") as one,
        running(mirror.copy, tmp_path / "2", "flags-2", on_port=True) as two,
    ):
        await one.until_ready()
        await two.until_ready()
        watching = [asyncio.create_task(watch.poll(two)), asyncio.create_task(watch.listen(two))]
        for counter in range(2, STEPS):
            await something(bus, rng, counter)
            mirror.connected = rng.random() < 0.6
            await mirror.sync()
            if mirror.connected and rng.random() < 0.1:
                await mirror.begin_anew()
            assert not any(task.done() for task in watching), [task.exception() for task in watching]
        mirror.connected = True
        await mirror.sync()

        async def agree() -> bool:
            return await shown(one) == await shown(two)

        await until(agree)
        for task in watching:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    assert watch.seen > STEPS


async def test_a_replica_that_started_late_has_the_same_bytes(tmp_path: Path) -> None:
    rng, bus = Random(7), MemoryBus()
    await bus.publish(*encode(level_state(Level.OPTIMAL, (1, 1), at=datetime.now(UTC)), SOURCE))
    async with running(bus, tmp_path / "1") as one:
        await one.until_ready()
        for counter in range(2, STEPS):
            await something(bus, rng, counter)
        async with running(bus, tmp_path / "2", "flags-2") as late:
            await late.until_ready()

            async def agree() -> bool:
                return await shown(one) == await shown(late)

            await until(agree)
