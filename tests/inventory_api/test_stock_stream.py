"""The event stream of stock: every change once, whatever happens to the connection and whichever replica answers."""

from __future__ import annotations

import socket
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from inventory_api.domain.access import needed_scope
from inventory_api.domain.traffic import traffic_of
from inventory_api.http import stock_stream
from resilience_contracts import FeatureState
from resilience_delivery import listener, streams
from resilience_runtime import MemoryBus
from tests.flag_service.running import Stream, until
from tests.inventory_api.telling import Teller, back, low, stock, tell, telling


@pytest.fixture
def bus() -> MemoryBus:
    return MemoryBus()


@pytest.fixture
async def replica(bus: MemoryBus, tmp_path: Path) -> AsyncIterator[Teller]:
    async with telling(bus, tmp_path) as one:
        yield one


async def versions(stream: Stream, count: int) -> list[int]:
    """Return the versions of the next edges."""
    return [(await stream.next("low", "back"))[1]["version"] for _ in range(count)]


async def test_edges_and_changes_of_availability_are_told_and_nothing_else(
    replica: Teller, bus: MemoryBus
) -> None:
    await tell(bus, stock(shop=3))
    async with replica.listening() as stream:
        assert await stream.next() == ("open", {"resumed": False, "missed": False})
        await tell(bus, low(version=1), stock(shop=3), stock(shop=0), back(version=2), stock(shop=9, hall=1))
        told = [await stream.next() for _ in range(4)]

    assert {kind for kind, _ in told} == {"low", "back", "availability"}
    assert [data["version"] for kind, data in told if kind != "availability"] == [1, 2]
    available = [data for kind, data in told if kind == "availability"]
    assert [one["available"] for one in available] == [0, 10]
    assert available[1]["locations"] == [
        {"location": "shop", "available": 9}, {"location": "hall", "available": 1}
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("?sku=TEE", [("low", "TEE"), ("availability", "TEE")]),
        ("?sku=TEE&sku=SOCK&kinds=low", [("low", "TEE"), ("low", "SOCK")]),
        ("?location=hall", [("low", "SOCK"), ("availability", "SOCK")]),
        ("?location=shop&kinds=availability", [("availability", "TEE")]),
    ],
)
async def test_only_what_was_asked_for_is_told(
    replica: Teller, bus: MemoryBus, query: str, expected: list[tuple[str, str]]
) -> None:
    async with replica.listening(query) as stream, replica.listening() as whole:
        for one in (stream, whole):
            await one.next("open")
        await tell(bus, low("TEE"), stock("TEE", shop=1), low("SOCK", "hall"), stock("SOCK", hall=1))
        for _ in range(4):
            await whole.next()
        told = [await stream.next() for _ in expected]

    assert sorted((kind, data["sku"]) for kind, data in told) == sorted(expected)


async def test_a_client_that_was_cut_off_gets_what_it_missed_once_from_any_replica(
    replica: Teller, bus: MemoryBus, tmp_path: Path
) -> None:
    async with replica.listening() as stream:
        await stream.next("open")
        await tell(bus, low(version=1), back(version=2))
        assert await versions(stream, 2) == [1, 2]
        last_id = stream.last_id
    await tell(bus, low(version=3), back(version=4))

    async with telling(bus, tmp_path) as other:
        for one in (replica, other):
            async with one.listening(last_id=last_id) as again:
                assert await again.next() == ("open", {"resumed": True, "missed": False})
                assert await versions(again, 2) == [3, 4]
        async with other.listening(last_id=last_id) as again:
            await again.next("open")
            assert await versions(again, 1) == [3]
            half = again.last_id
        async with replica.listening(last_id=half) as again:
            await again.next("open")
            await tell(bus, low(version=5))
            assert await versions(again, 2) == [4, 5]


async def test_a_client_that_was_cut_off_before_any_news_misses_none(replica: Teller, bus: MemoryBus) -> None:
    async with replica.listening() as stream:
        await stream.next("open")
        last_id = stream.last_id
    await tell(bus, low(version=1))
    await until(lambda: replica.part.live.stream._log.arrived)

    async with replica.listening(last_id=last_id) as again:
        await again.next("open")
        assert await versions(again, 1) == [1]


async def test_who_cannot_be_told_all_that_it_missed_is_told_so(
    bus: MemoryBus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("inventory_api.live.NEWS_KEPT", 2)
    async with telling(bus, tmp_path) as replica:
        await tell(bus, *(low(version=number) for number in range(1, 6)))
        await until(lambda: replica.part.live.stream._log.arrived == 5)
        for last_id in ("c0.0.0.s0.0.0.", "nonsense", "boot-7", "c1.s", "c" + "9" * 40):
            async with replica.listening(last_id=last_id) as stream:
                assert await stream.next() == ("open", {"resumed": False, "missed": True})
        async with replica.listening(last_id="") as stream:
            assert await stream.next() == ("open", {"resumed": False, "missed": False})


async def test_what_a_killed_relay_publishes_again_is_told_once(replica: Teller, bus: MemoryBus) -> None:
    async with replica.listening() as stream:
        await stream.next("open")
        once = [low(version=1), stock(shop=2), low(version=2)]
        await tell(bus, *once, *once, low(version=3))

        told = [await stream.next() for _ in range(4)]

    assert sorted(data.get("version", 0) for _, data in told) == [0, 1, 2, 3]


async def test_changes_of_availability_go_as_often_as_live_updates_lets_them_edges_at_once_and_none_is_doubled(
    replica: Teller, bus: MemoryBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    replica.set_features(2, performance__live_updates=FeatureState.FALLBACK)
    async with replica.listening() as stream:
        await stream.next("open")
        await tell(bus, stock(shop=1))
        assert (await stream.next())[0] == "availability"
        await tell(bus, stock(shop=2), stock(shop=3), low(version=1))
        kind, _ = await stream.next()
        last_id = stream.last_id
    assert kind == "low"

    async with replica.listening(last_id=last_id) as again:
        await again.next("open")
        monkeypatch.setattr(stock_stream, "AVAILABILITY_EVERY_S", dict.fromkeys(FeatureState, 0.0))
        assert (await again.next())[1]["available"] == 3
        await tell(bus, low(version=2))
        assert (await again.next())[1]["version"] == 2


async def test_beyond_the_limit_a_stream_is_refused_with_a_time_to_come_back(
    bus: MemoryBus, tmp_path: Path
) -> None:
    async with telling(bus, tmp_path, stream_clients=1) as replica, replica.listening() as stream:
        await stream.next("open")

        refused = await replica.client.get("/v1/stream")

    assert (refused.status_code, refused.json()["code"]) == (503, "streams_full")
    assert int(refused.headers["Retry-After"]) >= 1


async def test_a_silent_stream_sends_comments_and_is_measured_by_how_long_it_took_to_open(
    bus: MemoryBus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "HEARTBEAT_S", 0.05)
    async with telling(bus, tmp_path) as replica:
        began_s = time.monotonic()
        async with replica.listening() as stream:
            await stream.next("open")
            opened_s = time.monotonic() - began_s
            while time.monotonic() - began_s < 3 * opened_s + 0.2:
                assert await stream.next() == ("comment", None)
        await until(lambda: ("GET", "/v1/stream", 200) in replica.bench.observed)

    assert replica.bench.took_s[-1] <= opened_s


async def test_a_replica_that_is_behind_says_nothing_twice(tmp_path: Path) -> None:
    ahead, behind = MemoryBus(), MemoryBus()
    edges = [low(version=number) for number in range(1, 4)]
    await tell(ahead, *edges[:2])
    await tell(behind, edges[0])
    async with telling(ahead, tmp_path) as one, one.listening() as stream:
        await stream.next("open")
        last_id = stream.last_id

    async with telling(behind, tmp_path) as other, other.listening(last_id=last_id) as again:
        assert await again.next() == ("open", {"resumed": True, "missed": False})
        await tell(behind, *edges[1:])
        assert await versions(again, 1) == [3]


async def test_a_client_that_does_not_read_is_dropped_and_holds_nobody_up(
    bus: MemoryBus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listener, "SEND_TIMEOUT_S", 0.3)
    monkeypatch.setattr("inventory_api.live.MAILBOX", 20)
    async with telling(bus, tmp_path) as replica:
        with sleeping(replica):
            await until(lambda: replica.part.streams.clients == 1)
            for version in range(1, 100_000, 50):
                await tell(bus, *(low("S" * 120, "l" * 60, version + each) for each in range(50)))
                if replica.part.streams.dropped:
                    break
            async with replica.listening() as stream:
                await stream.next("open")
                await tell(bus, back(version=7))
                assert await versions(stream, 1) == [7]


@contextmanager
def sleeping(replica: Teller) -> Iterator[None]:
    """Open a stream and never read from it."""
    url = replica.client.base_url
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        client.connect((url.host, url.port or 0))
        client.sendall(b"GET /v1/stream HTTP/1.1\r\nHost: x\r\n\r\n")
        yield


async def test_a_stop_ends_streams_at_once(bus: MemoryBus, tmp_path: Path) -> None:
    async with telling(bus, tmp_path) as replica, replica.listening() as stream:
        await stream.next("open")

        replica.part.streams.close()

        with pytest.raises(EOFError):
            await stream.next()


async def test_a_lost_log_ends_streams_and_an_old_id_is_not_taken_for_one_of_the_new(
    replica: Teller, bus: MemoryBus
) -> None:
    async with replica.listening() as stream:
        await stream.next("open")
        await tell(bus, *(low(version=number) for number in range(1, 4)))
        await versions(stream, 3)
        for topic in ("inventory.changes.v1", "inventory.stock.v1"):
            bus.reset(topic)

        with pytest.raises(EOFError):
            await stream.next()


async def test_a_filter_that_makes_no_sense_is_refused(replica: Teller) -> None:
    for query in ("?kinds=nothing", "?sku=", "?sku=%00", f"?location={'x' * 61}", "?sku=A" * 101):
        answer = await replica.client.get(f"/v1/stream?{query.replace('?', '&')}")
        assert answer.status_code == 422, query


async def test_before_the_topics_have_been_read_a_stream_is_refused(tmp_path: Path) -> None:
    bus = MemoryBus()
    async with telling(bus, tmp_path) as replica:
        object.__setattr__(replica.part.live, "reading", lambda: False)
        refused: httpx.Response = await replica.client.get("/v1/stream")

    assert (refused.status_code, refused.json()["code"]) == (503, "dependency_unavailable")
    assert refused.headers["Retry-After"] == "2"


def test_a_stream_needs_a_key_that_reads_and_takes_no_place_in_a_lane() -> None:
    assert needed_scope("GET", "/v1/stream") == "read"
    assert traffic_of("GET", "/v1/stream").lane is None
    assert traffic_of("POST", "/v1/webhooks").lane is None
