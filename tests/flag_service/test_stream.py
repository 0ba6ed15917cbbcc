from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import psutil
import pytest

from flag_service.domain.ring import FrameKind
from resilience_contracts import Level, LevelState, Topic, VersionPart
from resilience_delivery import listener, streams
from resilience_runtime import MemoryBus, serving
from tests.contracts.states import level_changed, level_state
from tests.flag_service.running import Replica, listening, running, tell, until

HELD = "integrations.ai_assistant"


def current(level: Level, counter: int = 1, scope: str = "default") -> LevelState:
    return level_state(level, (1, counter), at=datetime.now(UTC), scope=scope)


@pytest.fixture
def bus() -> MemoryBus:
    return MemoryBus()


@pytest.fixture
async def replica(bus: MemoryBus, tmp_path: Path) -> AsyncIterator[Replica]:
    await tell(bus, current(Level.OPTIMAL))
    async with running(bus, tmp_path, on_port=True) as one:
        await one.until_state(HELD, "ENABLED")
        yield one


async def test_the_first_frame_is_a_snapshot_and_each_change_follows(
    replica: Replica, bus: MemoryBus
) -> None:
    async with listening(replica) as stream:
        kind, snapshot = await stream.next()
        await tell(bus, current(Level.LIMITED, 2))
        state = (await stream.next("state"))[1]
        await tell(bus, level_changed())
        change = (await stream.next("change"))[1]

    assert kind == "snapshot"
    assert [scope["level"]["level"] for scope in snapshot["scopes"]] == ["OPTIMAL"]
    assert (state["scope"], state["level"]["level"], state["level"]["version"]) == (
        "default",
        "LIMITED",
        "1.2",
    )
    assert next(feature for feature in state["features"] if feature["key"] == HELD)["state"] == "DISABLED"
    assert (change["from_level"], change["to_level"]) == ("OPTIMAL", "MINIMAL")


async def test_what_was_missed_is_replayed_once_and_in_order(replica: Replica, bus: MemoryBus) -> None:
    async with listening(replica) as stream:
        await stream.next("snapshot")
        last_id = stream.last_id
    for counter in (2, 3, 4):
        await tell(bus, current(Level(counter), counter))
    await replica.until_state("inventory.adjustments", "FALLBACK")

    async with listening(replica, last_id=last_id) as again:
        missed = [await again.next() for _ in range(3)]
        await tell(bus, current(Level.OPTIMAL, 5))
        after = await again.next("state")

    assert [kind for kind, _ in missed] == ["state"] * 3
    assert [data["level"]["version"] for _, data in missed] == ["1.2", "1.3", "1.4"]
    assert after[1]["level"]["version"] == "1.5"


@pytest.mark.parametrize("last_id", ["other-1", "boot-999", "nonsense", "boot-"])
async def test_an_id_that_cannot_be_replayed_gets_a_snapshot(replica: Replica, last_id: str) -> None:
    async with listening(replica, last_id=last_id) as stream:
        assert (await stream.next())[0] == "snapshot"


async def test_an_id_of_another_boot_gets_a_snapshot(
    replica: Replica, bus: MemoryBus, tmp_path: Path
) -> None:
    async with listening(replica) as stream:
        await stream.next("snapshot")
        last_id = stream.last_id

    async with (
        running(bus, tmp_path, boot="next", on_port=True) as restarted,
        listening(restarted, last_id=last_id) as stream,
    ):
        assert (await stream.next())[0] == "snapshot"


async def test_a_heartbeat_has_no_id_and_is_not_replayed(replica: Replica, bus: MemoryBus) -> None:
    async with listening(replica) as stream:
        await stream.next("snapshot")
        before = stream.last_id
        await tell(bus, current(Level.OPTIMAL))
        _, heartbeat = await stream.next("heartbeat")

        assert stream.last_id == before
    assert heartbeat["level"]["version"] == "1.1"


async def test_a_client_of_one_scope_hears_nothing_of_others(replica: Replica, bus: MemoryBus) -> None:
    await tell(bus, current(Level.OPTIMAL, scope="other"))
    async with listening(replica, "/v1/stream?scope=other") as stream:
        await stream.next("snapshot")
        await tell(bus, current(Level.LIMITED, 2))
        await tell(bus, current(Level.LIMITED, 2, scope="other"))

        assert (await stream.next("state", "heartbeat"))[1]["scope"] == "other"


async def test_a_silent_stream_sends_a_comment(
    bus: MemoryBus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "HEARTBEAT_S", 0.05)

    async with running(bus, tmp_path, on_port=True) as replica, listening(replica) as stream:
        await stream.next("snapshot")
        assert await stream.next() == ("comment", None)
        assert await stream.next() == ("comment", None)


async def test_streams_beyond_the_limit_are_refused_with_a_time_to_come_back(
    bus: MemoryBus, tmp_path: Path
) -> None:
    async with (
        running(bus, tmp_path, stream_clients=1, on_port=True) as replica,
        listening(replica) as stream,
    ):
        await stream.next("snapshot")

        plain = await replica.client.get("/v1/stream")
        ofrep = await replica.client.get("/ofrep/v1/stream")

    assert (plain.status_code, plain.json()["code"]) == (503, "streams_full")
    assert int(plain.headers["Retry-After"]) >= 1
    assert (ofrep.status_code, ofrep.json()["errorCode"]) == (503, "GENERAL")


async def test_a_client_that_left_is_forgotten(replica: Replica) -> None:
    async with listening(replica) as stream:
        await stream.next("snapshot")
        assert replica.service.hub.clients == 1

    await until(lambda: replica.service.hub.clients == 0)


async def test_a_client_that_does_not_read_is_dropped_and_hurts_nobody(
    bus: MemoryBus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bug row 14 (unleash-edge 1583, harper 2747, taskplane 664): half-open streams that pile up."""
    monkeypatch.setattr(listener, "SEND_TIMEOUT_S", 0.3)
    monkeypatch.setattr(serving, "UNREAD_S", 1.0)
    await tell(bus, current(Level.OPTIMAL))

    async with running(bus, tmp_path, on_port=True) as replica:
        await replica.until_ready()
        with sleeper(replica) as address:
            await until(lambda: replica.service.hub.clients == 1)
            async with listening(replica) as stream:
                await stream.next("snapshot")
                last = await flood(replica, bus)
                while (await stream.next("state"))[1]["level"]["version"] != f"1.{last}":
                    pass

            assert await until(lambda: address not in peers() or None)


@contextmanager
def sleeper(replica: Replica) -> Iterator[int]:
    """Open a stream and never read from it; gives its port."""
    host, port = replica.url.removeprefix("http://").split(":")
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        client.connect((host, int(port)))
        client.sendall(b"GET /v1/stream HTTP/1.1\r\nHost: x\r\n\r\n")
        yield client.getsockname()[1]


async def flood(replica: Replica, bus: MemoryBus) -> int:
    """Change the level until only one client is left; returns the last version's counter."""
    for counter in range(2, 20_000):
        await tell(bus, current(Level(counter % 5), counter))
        if replica.service.hub.clients == 1:
            return counter
        await asyncio.sleep(0.002)
    raise AssertionError("the sleeper was not dropped")


def peers() -> set[int]:
    """Return the remote ports of this process's own connections, those being closed included."""
    connections = psutil.Process().net_connections("tcp")
    return {connection.raddr.port for connection in connections if connection.status != psutil.CONN_LISTEN}


async def test_the_server_ends_its_streams_at_once_when_it_stops(replica: Replica) -> None:
    async with listening(replica) as stream:
        await stream.next("snapshot")

        replica.service.hub.close()

        with pytest.raises(EOFError):
            await stream.next()


async def test_clients_of_ofrep_are_told_to_ask_again_at_first_and_after_each_change(
    replica: Replica, bus: MemoryBus
) -> None:
    refetch = ("message", {"type": "refetchEvaluation"})
    async with listening(replica, "/ofrep/v1/stream?scope=default") as stream:
        assert await stream.next() == refetch
        await tell(bus, current(Level.LIMITED, 2))
        assert await stream.next() == refetch
        await replica.put(HELD, state="ENABLED", allow_better=True, expires_in_s=0.2)
        assert await stream.next() == refetch
        bulk = (await replica.client.post("/ofrep/v1/evaluate/flags")).json()["flags"]
        assert {flag["key"]: flag["value"] for flag in bulk if "value" in flag}[HELD] is True

        assert await stream.next() == refetch
        bulk = (await replica.client.post("/ofrep/v1/evaluate/flags")).json()["flags"]
        assert {flag["key"]: flag["value"] for flag in bulk if "value" in flag}[HELD] is False


async def test_a_client_of_ofrep_that_comes_back_is_told_to_ask_again_whatever_it_saw(
    replica: Replica,
) -> None:
    async with listening(replica, "/ofrep/v1/stream") as stream:
        await stream.next()
        last_id = stream.last_id

    async with listening(replica, "/ofrep/v1/stream", last_id) as again:
        assert (await again.next())[1] == {"type": "refetchEvaluation"}


async def test_a_change_that_history_already_had_is_not_told_again(replica: Replica, bus: MemoryBus) -> None:
    await tell(bus, level_changed())
    async with listening(replica) as stream:
        await until(lambda: bus.records(Topic.LEVEL_CHANGES))
        await stream.next("snapshot")
        await tell(bus, level_changed())
        # Announced again by an engine that was killed before it stored that it had been announced.
        again = level_changed().model_copy(update={"version": VersionPart(epoch=1, counter=3)})
        await tell(bus, again)
        await tell(
            bus, again.model_copy(update={"version": VersionPart(epoch=1, counter=4), "to_level": "LIMITED"})
        )

        assert (await stream.next("change"))[1]["version"]["counter"] == 4


async def test_heartbeats_and_changes_at_once_never_mix_on_the_wire(replica: Replica) -> None:
    """Bug row 17 (go-feature-flag 5469): a ping and a broadcast wrote to one connection at once."""
    hub, text = replica.service.hub, json.dumps({"x": "y" * 5_000})
    async with listening(replica) as stream:
        await stream.next("snapshot")

        async def send(number: int) -> None:
            if number % 2:
                hub.mention(FrameKind.HEARTBEAT, "default", text)
            else:
                hub.publish(FrameKind.CHANGE, "default", text)
            await asyncio.sleep(0)

        await asyncio.gather(*(send(number) for number in range(60)))
        found = [await stream.next() for _ in range(60)]

    assert all(data == {"x": "y" * 5_000} for _, data in found)
    assert sorted({kind for kind, _ in found}) == ["change", "heartbeat"]


async def test_fresher_figures_come_as_often_as_live_updates_lets_them_and_changes_at_once(
    replica: Replica, bus: MemoryBus
) -> None:
    async with listening(replica) as stream:
        await stream.next("snapshot")
        await replica.put("performance.live_updates", state="FALLBACK")
        await stream.next("state")
        for _ in range(3):
            await tell(bus, current(Level.OPTIMAL))
        await tell(bus, current(Level.LIMITED, 2))

        kind, state = await stream.next()

    assert (kind, state["level"]["level"]) == ("state", "LIMITED")
    live = next(one for one in state["features"] if one["key"] == "performance.live_updates")
    assert (live["state"], live["because"]) == ("FALLBACK", "hold")
