from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from resilience_contracts import FeatureState, Level, LevelState, Topic, VersionPart, encode
from resilience_runtime import MemoryBus
from tests.contracts.states import hold_set, level_changed, level_state
from tests.flag_service.running import SOURCE, Replica, running, tell, until

HELD = "integrations.ai_assistant"


def now() -> datetime:
    return datetime.now(UTC)


def current(level: Level, counter: int = 1, scope: str = "default") -> LevelState:
    return level_state(level, (1, counter), at=now(), scope=scope)


@pytest.fixture
def bus() -> MemoryBus:
    return MemoryBus()


@pytest.fixture
async def replica(bus: MemoryBus, tmp_path: Path) -> AsyncIterator[Replica]:
    await tell(bus, current(Level.LIMITED))
    async with running(bus, tmp_path) as one:
        await one.until_ready()
        await one.until_state(HELD, "DISABLED")
        yield one


async def test_levels_show_why_and_how_fresh(replica: Replica) -> None:
    level = (await replica.client.get("/v1/levels/default")).json()

    assert (level["level"], level["rank"], level["version"], level["stale"]) == ("LIMITED", 2, "1.1", False)
    assert level["cause"] == "an example"
    assert level["dependencies"]["redis"]["health"] == "UP"
    assert (await replica.client.get("/v1/levels")).json() == {"levels": [level]}


async def test_features_show_why_since_and_when_to_ask_again(replica: Replica) -> None:
    feature = await replica.feature(HELD)

    assert feature["because"] == "level"
    assert feature["since"] == "2026-03-01T12:00:00.000Z"
    assert 1 <= feature["retry_after_s"] <= 300
    assert feature["hold"] is None
    assert (await replica.feature("inventory.availability"))["retry_after_s"] is None


async def test_a_reader_who_has_the_body_is_told_so_until_it_changes(
    replica: Replica, bus: MemoryBus
) -> None:
    for path in ("/v1/levels", "/v1/levels/default", "/v1/features"):
        first = await replica.client.get(path)
        again = await replica.client.get(path, headers={"If-None-Match": first.headers["ETag"]})
        assert (again.status_code, again.content, again.headers["ETag"]) == (304, b"", first.headers["ETag"])

    tag = (await replica.client.get("/v1/features")).headers["ETag"]
    await tell(bus, current(Level.OPTIMAL, 2))
    await replica.until_state(HELD, "ENABLED")

    after = await replica.client.get("/v1/features", headers={"If-None-Match": tag})
    assert after.status_code == 200


async def test_history_lists_changes_newest_first(replica: Replica, bus: MemoryBus) -> None:
    for counter, level in ((2, "MINIMAL"), (3, "LIMITED")):
        version = VersionPart(epoch=1, counter=counter)
        await tell(bus, level_changed().model_copy(update={"version": version, "to_level": level}))

    async def both() -> list[int]:
        changes = (await replica.client.get("/v1/levels/default/history")).json()["changes"]
        return [change["version"]["counter"] for change in changes] if len(changes) == 2 else []

    assert await until(both) == [3, 2]
    newest = (await replica.client.get("/v1/levels/default/history?limit=1")).json()["changes"]
    assert len(newest) == 1


@pytest.mark.parametrize(
    "path", ["/v1/levels/nowhere", "/v1/levels/nowhere/history", "/v1/features?scope=nowhere"]
)
async def test_an_unknown_scope_is_a_problem_that_says_so(replica: Replica, path: str) -> None:
    answer = await replica.client.get(path)

    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["code"] == "unknown_scope"


async def test_scopes_are_apart(replica: Replica, bus: MemoryBus) -> None:
    await tell(bus, current(Level.OPTIMAL, scope="eu-west.store-042"))

    async def known() -> bool:
        return (await replica.client.get("/v1/levels/eu-west.store-042")).status_code == 200

    await until(known)
    assert (await replica.client.get("/v1/features?scope=eu-west.store-042")).json()["level"] == "OPTIMAL"
    assert (await replica.client.get("/v1/features")).json()["level"] == "LIMITED"


async def test_two_replicas_give_the_same_bytes_and_tags(
    replica: Replica, bus: MemoryBus, tmp_path: Path
) -> None:
    await tell(bus, hold_set(FeatureState.ENABLED, set_at=now(), allow_better=True))
    await replica.until_state(HELD, "ENABLED")

    async with running(bus, tmp_path / "other", "flags-2", boot="other") as other:
        await other.until_state(HELD, "ENABLED")
        for path in ("/v1/levels", "/v1/features", "/v1/holds"):
            ours, theirs = await replica.client.get(path), await other.client.get(path)
            assert ours.content == theirs.content
            assert ours.headers.get("ETag") == theirs.headers.get("ETag")
        bulk = [await one.client.post("/ofrep/v1/evaluate/flags", json={}) for one in (replica, other)]
        assert bulk[0].content == bulk[1].content
        assert bulk[0].headers["ETag"] == bulk[1].headers["ETag"]


async def test_without_a_bus_the_last_known_state_is_served_and_called_stale(
    replica: Replica, bus: MemoryBus, tmp_path: Path
) -> None:
    await tell(bus, hold_set(FeatureState.ENABLED, set_at=now(), allow_better=True))
    await replica.until_state(HELD, "ENABLED")
    saved = tmp_path / "flag-service.json"
    await until(lambda: saved.exists() and b"invents prices" in saved.read_bytes())
    gone = MemoryBus()
    gone.up = False

    async with running(gone, tmp_path, "flags-1") as restarted:
        ready = await restarted.client.get("/health/ready")
        feature = await restarted.feature(HELD)

    assert ready.status_code == 200
    assert ready.json()["checks"]["caught_up"] is False
    assert (feature["state"], feature["because"]) == ("ENABLED", "hold")


async def test_with_nothing_saved_and_no_bus_features_follow_their_unknown_mode(tmp_path: Path) -> None:
    gone = MemoryBus()
    gone.up = False

    async with running(gone, tmp_path) as replica:
        assert (await replica.client.get("/health/ready")).status_code == 503
        assert (await replica.client.get("/health/live")).status_code == 200
        assert (await replica.feature("inventory.reservations"))["state"] == "ENABLED"
        assert (await replica.feature("analytics.reports"))["because"] == "unknown"


async def test_a_damaged_snapshot_is_no_snapshot(bus: MemoryBus, tmp_path: Path) -> None:
    (tmp_path / "flag-service.json").write_bytes(b"\x00garbage")
    await tell(bus, current(Level.LIMITED))

    async with running(bus, tmp_path) as replica:
        assert (await replica.until_state(HELD, "DISABLED"))["because"] == "level"


GARBAGE = {
    "random bytes": (b"default", b"\x89\x00\xff\xfe", ()),
    "empty": (b"default", b"", ()),
    "too large": (b"default", b"x" * 2_000_000, ()),
    "not an object": (b"default", b"[]", ()),
    "no attributes": (b"default", b"{}", ()),
    "key not UTF-8": (b"\xff/x", None, ()),
    "tombstone of no hold": (b"default", None, ()),
}


@pytest.mark.parametrize("name", GARBAGE)
async def test_garbage_among_the_holds_stops_nothing_and_lands_among_the_dead_letters(
    replica: Replica, bus: MemoryBus, name: str
) -> None:
    key, value, headers = GARBAGE[name]

    await bus.publish(Topic.HOLDS, key, value, headers)
    letter = (await until(lambda: bus.records(f"{Topic.HOLDS}.dlq")))[0]
    await tell(bus, hold_set(FeatureState.ENABLED, set_at=now(), allow_better=True))

    assert (letter.key, letter.value) == (key, value)
    assert dict(letter.headers)["dlq_error_message"]
    await replica.until_state(HELD, "ENABLED")


async def test_an_event_on_the_wrong_topic_or_under_the_wrong_key_is_refused(
    replica: Replica, bus: MemoryBus
) -> None:
    hold, level = encode(hold_set(set_at=now()), SOURCE), encode(current(Level.EMERGENCY, 9), SOURCE)
    future = tuple((name, b"x.v9" if name == "ce_type" else value) for name, value in level.headers)
    await bus.publish(Topic.LEVELS, *hold[1:])
    await bus.publish(Topic.LEVELS, b"other", level.value, level.headers)
    await bus.publish(Topic.LEVELS, level.key, level.value, future)

    letters = await until(lambda: len(found := bus.records(f"{Topic.LEVELS}.dlq")) == 3 and found)

    reasons = [str(dict(letter.headers)["dlq_error_message"]) for letter in letters]
    assert "does not belong" in reasons[0]
    assert "key is not default" in reasons[1]
    assert "event_unknown" in reasons[2]
    assert (await replica.client.get("/v1/levels/default")).json()["level"] == "LIMITED"


async def test_a_wiped_bus_keeps_the_level_and_drops_the_holds(replica: Replica, bus: MemoryBus) -> None:
    await tell(bus, hold_set(FeatureState.ENABLED, set_at=now(), allow_better=True))
    await replica.until_state(HELD, "ENABLED")

    for topic in (Topic.LEVELS, Topic.HOLDS, Topic.LEVEL_CHANGES):
        bus.reset(topic)

    assert (await replica.until_state(HELD, "DISABLED"))["because"] == "level"
    assert (await replica.client.get("/v1/levels/default")).json()["level"] == "LIMITED"


async def test_a_hold_that_automation_overrules_is_shown_and_has_no_effect(
    replica: Replica, bus: MemoryBus
) -> None:
    await tell(bus, hold_set(FeatureState.ENABLED, set_at=now()))

    async def held() -> bool:
        return (await replica.feature(HELD))["hold"] is not None

    await until(held)
    feature = await replica.feature(HELD)
    assert (feature["state"], feature["because"]) == ("DISABLED", "level")


async def test_silence_of_the_engine_makes_the_level_stale(bus: MemoryBus, tmp_path: Path) -> None:
    soon = current(Level.LIMITED).model_copy(update={"next_heartbeat_by": now() + timedelta(seconds=0.3)})
    await tell(bus, soon)

    async with running(bus, tmp_path) as replica:

        async def stale() -> bool:
            answer = await replica.client.get("/v1/levels/default")
            return answer.status_code == 200 and answer.json()["stale"]

        await until(stale)
        assert (await replica.feature(HELD))["state"] == "DISABLED"
