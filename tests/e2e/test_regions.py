"""Two regions, each with a Kafka of its own, mirrored into the other; one is lost and comes back."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from resilience_cli.stack import Region, private_ports
from resilience_client import LevelFeed, SseSource
from resilience_client.kafka import KafkaSource
from resilience_contracts import Level, LevelState, Policy, Regions, Topic, Version, decode, parse_policy
from resilience_runtime import Message
from resilience_runtime.kafka.publisher import KafkaPublisher
from resilience_runtime.kafka.replica import ReplicaReader
from tests.e2e.quick import quick_policy_text
from tests.fixtures.stack import RunningStack, running_stack
from tests.flag_service.running import until
from tests.integration.engine_process import Monitor

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

WEST, NORTH = "eu-west", "eu-north"
STORES = {WEST: ("eu-west.s1", "eu-west.s2"), NORTH: ("eu-north.s1",)}
PARTS = ("kafka", "degradation-engine", "flag-service")
POLICY_TEXT = f"{quick_policy_text()}\nroll_ups:\n  {WEST}: {{rule: worst}}\n  {NORTH}: {{rule: worst}}\n"
ASSISTANT = "integrations.ai_assistant"
SECONDS = 45.0


@pytest.fixture(scope="module")
def regions(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, RunningStack]]:
    ports = {WEST: private_ports(), NORTH: private_ports()}
    kafka = {name: f"127.0.0.1:{each['kafka']}" for name, each in ports.items()}

    def stack_of(name: str) -> Any:
        other = {there: servers for there, servers in kafka.items() if there != name}
        return running_stack(
            Path(tmp_path_factory.mktemp(name)),
            parts=PARTS,
            policy_text=POLICY_TEXT,
            region=Region(name, other),
            ports=ports[name],
        )

    with ExitStack() as stacks, ThreadPoolExecutor() as both:
        yield dict(
            zip(STORES, both.map(lambda name: stacks.enter_context(stack_of(name)), STORES), strict=True)
        )


class Look:
    """What flag services say; each question is bounded."""

    def __init__(self, stacks: dict[str, RunningStack], client: httpx.AsyncClient) -> None:
        self._stacks = stacks
        self._client = client

    async def level(self, at: str, scope: str) -> dict[str, Any]:
        answer = await self._client.get(f"{self._stacks[at].url('flag-service')}/v1/levels/{scope}")
        return dict(answer.json()) if answer.status_code == httpx.codes.OK else {}

    async def until(self, at: str, scope: str, **wanted: object) -> dict[str, Any]:
        """Wait until a level, as told at a region, has these values; return it."""
        ends, seen = time.monotonic() + SECONDS, dict[str, Any]()
        while time.monotonic() < ends:
            with suppress(httpx.HTTPError):
                seen = await self.level(at, scope)
            if seen and all(seen[name] == value for name, value in wanted.items()):
                return seen
            await asyncio.sleep(0.05)
        raise AssertionError(f"{scope} at {at} is not {wanted} but {seen}")

    async def hold(self, at: str, scope: str, target: str, **asked: object) -> None:
        body = {"reason": "the whole region is tried out", "expires_in_s": 600, **asked}
        (await self._change(at, "PUT", scope, target, body)).raise_for_status()

    async def release(self, at: str, scope: str, target: str) -> None:
        (await self._change(at, "DELETE", scope, target, None)).raise_for_status()

    async def _change(self, at: str, verb: str, scope: str, target: str, body: object) -> httpx.Response:
        stack = self._stacks[at]
        url = f"{stack.url('flag-service')}/v1/holds/{scope}/{target}"
        return await self._client.request(verb, url, json=body, headers={"X-API-Key": stack.operator_key()})


@asynccontextmanager
async def monitored(stack: RunningStack, policy: Policy, *scopes: str) -> AsyncIterator[Monitor]:
    async with KafkaPublisher(stack.bootstrap, "monitor") as publisher, asyncio.TaskGroup() as tasks:
        monitor = Monitor(publisher, policy, scopes)
        reporting = tasks.create_task(_report_for_ever(monitor))
        try:
            yield monitor
        finally:
            reporting.cancel()


async def _report_for_ever(monitor: Monitor) -> None:
    while True:
        with suppress(Exception):  # its Kafka is away for a while
            await monitor.keep_reporting()
        await asyncio.sleep(0.2)


class Traveller:
    """An integrator that asks one region, and the other one while that is away; keeps what it is told by version."""

    def __init__(self, look: Look, scope: str) -> None:
        self._look = look
        self._scope = scope
        self.told: dict[Version, set[str]] = {}
        self.answered_by: set[str] = set()

    async def travel(self) -> None:
        while True:
            for at in (WEST, NORTH):
                with suppress(httpx.HTTPError):
                    if seen := await self._look.level(at, self._scope):
                        version = version_of(seen)
                        self.told.setdefault(version, set()).add(seen["level"])
                        self.answered_by.add(at)
                        break
            await asyncio.sleep(0.05)


def version_of(level: dict[str, Any]) -> Version:
    epoch, _, counter = str(level["version"]).partition(".")
    return Version(int(epoch), int(counter))


async def records(stack: RunningStack, topic: str) -> list[tuple[LevelState, str]]:
    """Return every level in a topic, each with who wrote it."""
    found: list[tuple[LevelState, str]] = []

    def take(message: Message) -> None:
        envelope = decode(message.value, message.headers)
        assert isinstance(envelope.event, LevelState)
        found.append((envelope.event, envelope.source))

    reader = ReplicaReader(stack.bootstrap, (topic,), take)
    reading = asyncio.create_task(reader.run())
    async with asyncio.timeout(SECONDS):
        await reader.wait_caught_up()
    reading.cancel()
    await asyncio.wait({reading})
    return found


def lose(stack: RunningStack) -> None:
    with ThreadPoolExecutor() as each:
        list(each.map(stack.stop, (*PARTS, "mirror")))


def bring_back(stack: RunningStack) -> None:
    with ThreadPoolExecutor() as each:
        list(each.map(stack.restore, (*PARTS, "mirror")))


async def test_a_region_is_lost_and_comes_back(regions: dict[str, RunningStack]) -> None:
    west, north = regions[WEST], regions[NORTH]
    policy = parse_policy(POLICY_TEXT)
    over_kafka = KafkaSource(north.bootstrap, regions=Regions((WEST,)))
    async with AsyncExitStack() as opened:
        enter = opened.enter_async_context
        client = await enter(httpx.AsyncClient(timeout=2, trust_env=False))
        look = Look(regions, client)
        in_west = await enter(monitored(west, policy, *STORES[WEST]))
        in_north = await enter(monitored(north, policy, *STORES[NORTH]))
        by_sse = await enter(LevelFeed(SseSource(north.url("flag-service")), "eu-west.s9"))
        by_kafka = await enter(LevelFeed(over_kafka, "eu-west.s9", policy=policy))

        # Integrators see both regions, whichever they ask.
        for at in (WEST, NORTH):
            for scope in (WEST, NORTH, "eu-west.s1", "eu-north.s1"):
                await look.until(at, scope, level="OPTIMAL", stale=False)
        traveller = Traveller(look, WEST)
        travelling = asyncio.create_task(traveller.travel())
        in_west.down["eu-west.s1"] = {"postgresql"}
        assert (await look.until(NORTH, WEST, level="MINIMAL"))["follows"] is None
        await until(lambda: by_sse.level is by_kafka.level is Level.MINIMAL, SECONDS)
        assert by_sse.follows == by_kafka.follows == WEST

        # Holds follow, there and back.
        await look.hold(NORTH, "eu-west.s2", "level", level="LIMITED")
        await look.until(WEST, "eu-west.s2", level="LIMITED")
        await look.until(NORTH, "eu-west.s2", level="LIMITED", decided_by="hold")
        await look.hold(WEST, NORTH, ASSISTANT, state="DISABLED")

        flag_url = f"{north.url('flag-service')}/ofrep/v1/evaluate/flags/{ASSISTANT}"
        asked = {"context": {"resilience.scope": "eu-north.s1"}}

        async def assistant_held() -> bool:
            flag = (await client.post(flag_url, json=asked)).json()
            return bool(flag["metadata"]["because"] == "hold")

        await until(assistant_held, SECONDS)

        # One region is lost: the other one goes on, and knows what it knew.
        await asyncio.to_thread(lose, west)
        await look.until(NORTH, WEST, level="MINIMAL", stale=True)
        in_north.down["eu-north.s1"] = {"openai"}
        await look.until(NORTH, NORTH, level="LIMITED", stale=False)
        await look.release(NORTH, "eu-west.s2", "level")

        # It comes back: what was decided meanwhile holds, its levels go on.
        in_west.down["eu-west.s1"] = set()
        await asyncio.to_thread(bring_back, west)
        for at in (WEST, NORTH):
            await look.until(at, "eu-west.s2", level="OPTIMAL", stale=False)
            await look.until(at, WEST, level="OPTIMAL", stale=False)
            await look.until(at, NORTH, level="LIMITED", stale=False)
        await until(lambda: by_sse.level is by_kafka.level is Level.OPTIMAL, SECONDS)
        travelling.cancel()

        # A region may lag, so that it tells an older version for a moment; none means two things, and none is used again.
        assert traveller.answered_by == {WEST, NORTH}
        assert [levels for levels in traveller.told.values() if len(levels) > 1] == []

        async def as_new(at: str) -> bool:
            return version_of(await look.level(at, WEST)) >= max(traveller.told)

        for at in (WEST, NORTH):
            await until(lambda at=at: as_new(at), SECONDS)  # type: ignore[misc] # mypy infers no default
        await only_its_own_wrote(regions)


async def only_its_own_wrote(regions: dict[str, RunningStack]) -> None:
    """Look into the topics: a region's levels are written by its own engine alone, and mirrored as they are."""
    for at, there in ((WEST, NORTH), (NORTH, WEST)):
        own = await records(regions[at], Topic.LEVELS)
        mirrored = await records(regions[at], f"{there}.{Topic.LEVELS}")
        for states, region in ((own, at), (mirrored, there)):
            assert set(versions_of(states)) == {region, *STORES[region]}
            writer = f"/services/degradation-engine/{region}-degradation-engine-1"
            assert {source for _, source in states} == {writer}
        assert all(versions == sorted(versions) for versions in versions_of(own).values())
        # A mirror that was killed repeats its last seconds; what a reader ends with is the newest.
        assert all(versions[-1] == max(versions) for versions in versions_of(mirrored).values())


def versions_of(states: list[tuple[LevelState, str]]) -> dict[str, list[Version]]:
    found: dict[str, list[Version]] = {}
    for state, _ in states:
        found.setdefault(state.scope, []).append(state.version.ordered())
    return found
