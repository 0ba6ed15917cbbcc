from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from flag_service.domain.audit import Action, AuditChain, Deed, of_hold
from resilience_contracts import AuditRecorded, Encoded, FeatureState, Level, Topic, decode, encode
from resilience_contracts.audit import faults
from resilience_runtime import MemoryBus, SystemClock
from tests.contracts.states import hold_set, level_state
from tests.flag_service.running import READ_KEY, SOURCE, WRITE_KEY, HandedLease, Replica, running, tell, until

HELD = "integrations.ai_assistant"
PATH = f"/v1/holds/default/{HELD}"


@pytest.fixture
def bus() -> MemoryBus:
    return MemoryBus()


@pytest.fixture
async def replica(bus: MemoryBus, tmp_path: Path) -> AsyncIterator[Replica]:
    await tell(bus, level_state(Level.OPTIMAL, at=datetime.now(UTC)))
    async with running(bus, tmp_path) as one:
        await one.until_state(HELD, "ENABLED")
        yield one


def audited(bus: MemoryBus) -> list[AuditRecorded]:
    events = [decode(record.value, record.headers).event for record in bus.records(Topic.AUDIT)]
    return [event for event in events if isinstance(event, AuditRecorded)]


async def test_a_hold_is_in_force_when_it_is_answered(replica: Replica, bus: MemoryBus) -> None:
    answer = await replica.put(HELD, state="DISABLED", expires_in_s=900)

    feature = await replica.feature(HELD)
    assert answer.status_code == 200
    assert answer.json()["actor"] == "olivia"
    assert answer.headers["ETag"] == f'"{answer.json()["hold_id"]}.1"'
    assert (feature["state"], feature["because"], feature["automatic"]) == ("DISABLED", "hold", "ENABLED")
    assert "olivia" in feature["detail"]
    assert (await replica.client.get("/v1/holds")).json() == {"holds": [answer.json()]}


async def test_a_hold_is_audited_before_it_is_stored_with_who_what_and_why(
    replica: Replica, bus: MemoryBus
) -> None:
    headers = {"X-Correlation-ID": "ticket-7"}
    hold = (await replica.put(HELD, state="FALLBACK", headers=headers)).json()

    entry = audited(bus)[0]
    assert (entry.action, entry.target, entry.actor, entry.correlation_id) == (
        "hold.set",
        HELD,
        "olivia",
        "ticket-7",
    )
    assert entry.reason == "the assistant invents prices"
    assert entry.before is None
    assert entry.after is not None
    assert (entry.after["hold_id"], entry.after["state"]) == (hold["hold_id"], "FALLBACK")
    assert bus.records(Topic.AUDIT)[0].timestamp_ms <= bus.records(Topic.HOLDS)[0].timestamp_ms


async def test_set_extend_change_and_end_are_four_entries_of_one_chain(
    replica: Replica, bus: MemoryBus
) -> None:
    await replica.put(HELD, state="DISABLED", expires_in_s=900)
    await replica.put(HELD, state="DISABLED", expires_in_s=3600)
    await replica.put(HELD, state="FALLBACK", expires_in_s=3600)
    ended = await replica.client.delete(
        PATH, headers={"X-API-Key": WRITE_KEY}, params={"reason": "all is well"}
    )

    entries = audited(bus)
    assert ended.status_code == 204
    assert (await replica.feature(HELD))["state"] == "ENABLED"
    assert [entry.action for entry in entries] == ["hold.set", "hold.extend", "hold.change", "hold.end"]
    assert entries[-1].reason == "all is well"
    assert not list(faults(entries))
    assert bus.records(Topic.HOLDS)[-1].value is None


async def test_the_audit_is_read_newest_first_page_by_page(replica: Replica) -> None:
    for state in ("DISABLED", "FALLBACK", "ENABLED"):
        await replica.put(HELD, state=state)

    async def all_three() -> dict[str, Any] | None:
        found: dict[str, Any] = (await replica.client.get("/v1/audit")).json()
        return found if len(found["entries"]) == 3 else None

    whole = await until(all_three)
    first = (await replica.client.get("/v1/audit?limit=2")).json()
    second = (await replica.client.get("/v1/audit", params={"limit": 2, "before": first["next"]})).json()
    assert [entry["sequence"] for entry in whole["entries"]] == [2, 1, 0]
    assert first["entries"] + second["entries"] == whole["entries"]
    assert second["next"] is None
    assert whole["faults"] == []


async def test_an_audit_cursor_that_is_gone_is_an_error_and_no_first_page(replica: Replica) -> None:
    answer = await replica.client.get("/v1/audit", params={"before": "flag-service/other/3"})

    assert answer.status_code == 404
    assert answer.json()["code"] == "unknown_entry"


async def test_a_chain_goes_on_over_a_restart(replica: Replica, bus: MemoryBus, tmp_path: Path) -> None:
    await replica.put(HELD, state="DISABLED")

    async with running(bus, tmp_path) as restarted:
        await restarted.until_state(HELD, "DISABLED")
        await restarted.put(HELD, state="FALLBACK")

    assert [entry.sequence for entry in audited(bus)] == [0, 1]
    assert not list(faults(audited(bus)))


@pytest.mark.parametrize(
    ("key", "status", "code"),
    [
        (None, 401, "key_needed"),
        ("wrong", 401, "key_needed"),
        ("ключ", 401, "key_needed"),
        (READ_KEY, 403, "key_not_allowed"),
    ],
    ids=["none", "wrong", "not ASCII", "read only"],
)
async def test_only_a_write_key_changes_anything(
    replica: Replica, bus: MemoryBus, key: str | None, status: int, code: str
) -> None:
    headers = {b"X-API-Key": key.encode()} if key else {}
    body = {"state": "DISABLED", "reason": "a reason of some length"}
    put = await replica.client.put(PATH, json=body, headers=headers)
    nothing = await replica.client.put(PATH, headers=headers)
    delete = await replica.client.delete(PATH, headers=headers)

    assert (put.status_code, put.json()["code"]) == (status, code)
    assert nothing.json()["code"] == code, "what was sent is nobody's business before"
    assert delete.status_code == status
    assert not bus.records(Topic.HOLDS)
    assert not bus.records(Topic.AUDIT)


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"state": "ON"},
        {"level": "LIMITED"},
        {"state": "DISABLED", "level": "LIMITED"},
        {"state": "DISABLED", "reason": "too short"},
        {"state": "DISABLED", "reason": "  padded  \n    "},
        {"state": "DISABLED", "expires_in_s": 86_401},
        {"state": "DISABLED", "expires_in_s": 0},
        {"state": "DISABLED", "expires_at": "2020-01-01T00:00:00Z"},
        {"state": "DISABLED", "expires_at": "2020-01-01T00:00:00"},
        {"state": "DISABLED", "expires_at": "9999-01-01T00:00:00Z"},
        {"state": "DISABLED", "expires_in_s": 60, "expires_at": "2999-01-01T00:00:00Z"},
        {"state": "DISABLED", "unheard_of": 1},
    ],
)
async def test_a_hold_that_cannot_be_is_refused(
    replica: Replica, bus: MemoryBus, asked: dict[str, Any]
) -> None:
    answer = await replica.put(HELD, **asked)

    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert not bus.records(Topic.HOLDS)


@pytest.mark.parametrize(
    ("scope", "target", "code"),
    [("nowhere", HELD, "unknown_scope"), ("default", "analytics.horoscope", "unknown_target")],
)
async def test_a_hold_on_nothing_is_refused(replica: Replica, scope: str, target: str, code: str) -> None:
    answer = await replica.put(target, scope=scope, state="DISABLED")

    assert (answer.status_code, answer.json()["code"]) == (404, code)


async def test_a_hold_on_the_level_is_stored_for_the_engine_and_shown(
    replica: Replica, bus: MemoryBus
) -> None:
    answer = await replica.put("level", level="LIMITED")

    assert answer.json()["level"] == "LIMITED"
    assert bus.records(Topic.HOLDS)[0].key == b"default/level"
    assert (await replica.client.get("/v1/holds")).json()["holds"][0]["target"] == "level"
    assert (await replica.client.get("/v1/levels/default")).json()["level"] == "OPTIMAL"


async def test_whoever_read_an_older_hold_is_told_the_difference(replica: Replica) -> None:
    first = await replica.put(HELD, state="DISABLED", expires_in_s=900)
    second = await replica.put(HELD, state="FALLBACK", headers={"If-Match": first.headers["ETag"]})

    late = await replica.put(HELD, state="DISABLED", headers={"If-Match": first.headers["ETag"]})
    late_end = await replica.client.delete(
        PATH, headers={"X-API-Key": WRITE_KEY, "If-Match": first.headers["ETag"]}
    )

    assert second.status_code == 200
    assert (late.status_code, late.json()["code"]) == (409, "hold_conflict")
    assert late.json()["difference"]["state"] == {"current": "FALLBACK", "proposed": "DISABLED"}
    assert late.json()["current"]["version"] == 2
    assert late.headers["ETag"] == second.headers["ETag"]
    assert late_end.status_code == 409
    assert (await replica.feature(HELD))["state"] == "FALLBACK"


async def test_whoever_counts_on_no_hold_is_told_of_one(replica: Replica) -> None:
    only_new = {"If-None-Match": "*"}

    first = await replica.put(HELD, state="DISABLED", headers=only_new)
    second = await replica.put(HELD, state="FALLBACK", headers=only_new)
    gone = await replica.put("analytics.reports", state="DISABLED", headers={"If-Match": '"h.1"'})

    assert [first.status_code, second.status_code, gone.status_code] == [200, 409, 409]
    assert gone.json()["current"] is None


async def test_of_many_at_once_with_one_condition_one_wins(replica: Replica) -> None:
    tag = (await replica.put(HELD, state="DISABLED")).headers["ETag"]

    answers = await asyncio.gather(
        *(replica.put(HELD, state="FALLBACK", headers={"If-Match": tag}) for _ in range(8))
    )

    assert sorted(answer.status_code for answer in answers) == [200] + [409] * 7


async def test_a_hold_ends_by_itself_and_its_end_is_written_once(replica: Replica, bus: MemoryBus) -> None:
    def ends() -> list[bytes | None]:
        return [record.key for record in bus.records(Topic.HOLDS) if record.value is None]

    await replica.put(HELD, state="DISABLED", expires_in_s=0.4)

    await replica.until_state(HELD, "ENABLED")
    await until(lambda: len(ends()) == 1)
    await replica.put("analytics.reports", state="DISABLED", expires_in_s=0.1)
    await until(lambda: len(ends()) == 2)

    assert [entry.action for entry in audited(bus)] == ["hold.set", "hold.expire"] * 2
    assert ends() == [f"default/{HELD}".encode(), b"default/analytics.reports"]


async def test_an_edited_hold_does_not_end_at_its_old_time(replica: Replica, bus: MemoryBus) -> None:
    await replica.put(HELD, state="DISABLED", expires_in_s=0.3)
    await replica.put(HELD, state="DISABLED", expires_in_s=60)
    await replica.put("analytics.reports", state="DISABLED", expires_in_s=0.6)

    await replica.until_state("analytics.reports", "ENABLED")

    assert (await replica.feature(HELD))["state"] == "DISABLED"
    assert (await replica.client.delete(PATH, headers={"X-API-Key": WRITE_KEY})).status_code == 204


async def test_a_hold_that_expired_while_nobody_ran_is_ended_by_the_next_start(
    bus: MemoryBus, tmp_path: Path
) -> None:
    await tell(bus, level_state(Level.OPTIMAL, at=datetime.now(UTC)))
    await tell(bus, hold_set(set_at=datetime.now(UTC) - timedelta(hours=2)))

    async with running(bus, tmp_path) as replica:
        await replica.until_state(HELD, "ENABLED")
        await until(lambda: bus.records(Topic.HOLDS)[-1].value is None)

    assert [entry.action for entry in audited(bus)] == ["hold.expire"]


async def test_a_hold_set_on_one_replica_is_in_force_on_the_other(
    replica: Replica, bus: MemoryBus, tmp_path: Path
) -> None:
    async with running(bus, tmp_path / "other", "flags-2") as other:
        await other.until_state(HELD, "ENABLED")
        hold = (await replica.put(HELD, state="DISABLED")).json()

        shown = await other.until_state(HELD, "DISABLED")
        edited = await other.put(HELD, state="FALLBACK", headers={"If-Match": f'"{hold["hold_id"]}.1"'})
        await replica.until_state(HELD, "FALLBACK")

    assert shown["hold"] == hold
    assert edited.json()["version"] == 2
    assert not list(faults(audited(bus)))


async def test_of_two_who_hold_at_once_on_two_replicas_one_wins_everywhere_and_the_other_is_told(
    replica: Replica, bus: MemoryBus, tmp_path: Path
) -> None:
    async with running(bus, tmp_path / "other", "flags-2") as other:
        await other.until_state(HELD, "ENABLED")
        for _ in range(5):
            answers = await asyncio.gather(
                replica.put(HELD, state="DISABLED"), other.put(HELD, state="FALLBACK")
            )
            assert {answer.status_code for answer in answers} <= {200, 409}
            won = (await replica.feature(HELD))["hold"]
            assert won == (await other.feature(HELD))["hold"]
            assert won in [answer.json() for answer in answers]

    async with running(bus, tmp_path / "late", "flags-3") as late:
        await late.until_ready()
        assert (await late.until_state(HELD, won["state"]))["hold"] == won


class RivalBus(MemoryBus):
    """A bus on which another replica's record always gets in just before our tombstone."""

    rival: Encoded | None = None

    async def publish(
        self, topic: str, key: bytes | None, value: bytes | None, *rest: Any, **options: Any
    ) -> None:
        if topic == Topic.HOLDS and value is None and self.rival:
            rival, self.rival = self.rival, None
            await super().publish(*rival)
        await super().publish(topic, key, value, *rest, **options)


async def test_a_hold_that_another_replica_set_while_the_old_one_was_being_ended_survives(
    tmp_path: Path,
) -> None:
    bus = RivalBus()
    await tell(bus, level_state(Level.OPTIMAL, at=datetime.now(UTC)))
    async with running(bus, tmp_path) as replica:
        await replica.until_state(HELD, "ENABLED")
        await replica.put(HELD, state="DISABLED")
        new = hold_set(FeatureState.FALLBACK, set_at=datetime.now(UTC), version=9)
        bus.rival = encode(new, SOURCE)

        ended = await replica.client.delete(PATH, headers={"X-API-Key": WRITE_KEY})

        assert (ended.status_code, ended.json()["current"]["version"]) == (409, 9)
        assert (await replica.until_state(HELD, "FALLBACK"))["hold"]["version"] == 9
    last = bus.records(Topic.HOLDS)[-1]
    assert last.value is not None
    assert decode(last.value, last.headers).event == new


async def test_without_the_bus_a_hold_is_refused_and_nothing_is_in_force(
    replica: Replica, bus: MemoryBus
) -> None:
    bus.up = False

    answer = await replica.put(HELD, state="DISABLED")

    assert (answer.status_code, answer.json()["code"]) == (503, "not_stored")
    assert int(answer.headers["Retry-After"]) >= 1
    assert (await replica.feature(HELD))["state"] == "ENABLED"

    bus.up = True
    assert (await replica.put(HELD, state="DISABLED")).status_code == 200
    assert not list(faults(audited(bus)))


async def test_a_hold_better_than_automation_needs_to_be_allowed(replica: Replica, bus: MemoryBus) -> None:
    await tell(bus, level_state(Level.MINIMAL, (1, 2), at=datetime.now(UTC)))
    await replica.until_state(HELD, "DISABLED")

    await replica.put(HELD, state="ENABLED")
    quiet = await replica.feature(HELD)
    await replica.put(HELD, state="ENABLED", allow_better=True)
    loud = await replica.feature(HELD)

    assert (quiet["state"], quiet["because"]) == (FeatureState.DISABLED, "level")
    assert (loud["state"], loud["because"]) == (FeatureState.ENABLED, "hold")


async def test_a_preview_says_what_would_change_and_changes_nothing(replica: Replica, bus: MemoryBus) -> None:
    asked = {"scope": "default", "target": "level", "level": "DEGRADED"}

    answer = await replica.client.post("/v1/holds:preview", json=asked)

    assert answer.status_code == 200
    assert {"key": HELD, "before": "ENABLED", "after": "FALLBACK"} in answer.json()["effects"]
    assert not bus.records(Topic.HOLDS)


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"scope": "nowhere"}, 404),
        ({"target": "nothing"}, 404),
        ({"level": None}, 422),
        ({"state": "DISABLED"}, 422),
        ({"target": HELD}, 422),
    ],
)
async def test_a_preview_of_what_cannot_be_is_refused(
    replica: Replica, change: dict[str, Any], status: int
) -> None:
    asked = {"scope": "default", "target": "level", "level": "DEGRADED"} | change

    assert (await replica.client.post("/v1/holds:preview", json=asked)).status_code == status


async def test_of_two_replicas_one_writes_the_end_of_a_hold_whose_writer_is_gone(
    bus: MemoryBus, tmp_path: Path
) -> None:
    await tell(bus, level_state(Level.OPTIMAL, at=datetime.now(UTC)))
    await tell(bus, hold_set(set_at=datetime.now(UTC) - timedelta(hours=2)))

    async with (
        running(bus, tmp_path / "1") as one,
        running(bus, tmp_path / "2", "flags-2", lease=HandedLease(held=False)) as two,
    ):
        await one.until_ready()
        await two.until_ready()
        await until(lambda: bus.records(Topic.HOLDS)[-1].value is None)
        await two.put("analytics.reports", state="DISABLED", expires_in_s=0.1)
        await until(lambda: len([r for r in bus.records(Topic.HOLDS) if r.value is None]) == 2)

    expired = [entry for entry in audited(bus) if entry.action == "hold.expire"]
    assert [(entry.target, entry.writer.rpartition("/")[2]) for entry in expired] == [
        (HELD, "flags-1"),
        ("analytics.reports", "flags-2"),
    ]


async def test_an_expiry_that_is_in_the_audit_log_is_not_written_there_again(
    bus: MemoryBus, tmp_path: Path
) -> None:
    """Its writer died between the entry and the tombstone."""
    await tell(bus, level_state(Level.OPTIMAL, at=datetime.now(UTC)))
    hold = hold_set(set_at=datetime.now(UTC) - timedelta(hours=2))
    await tell(bus, hold)
    dead = AuditChain("flag-service/dead")
    deed = Deed(
        Action.EXPIRE, hold.scope, hold.target, "flag-service", "its time is over", of_hold(hold), None, "c"
    )
    await tell(bus, dead.extend(deed, datetime.now(UTC)))

    async with running(bus, tmp_path) as replica:
        await replica.until_ready()
        await until(lambda: bus.records(Topic.HOLDS)[-1].value is None)

    assert [entry.writer for entry in audited(bus)] == ["flag-service/dead"]


class SteppedClock(SystemClock):
    """A clock whose date is set by somebody."""

    step = timedelta()

    def now(self) -> datetime:
        return super().now() + self.step


async def test_a_hold_ends_once_and_within_a_second_though_the_clock_is_set(
    bus: MemoryBus, tmp_path: Path
) -> None:
    clock, loop = SteppedClock(), asyncio.get_running_loop()
    await tell(bus, level_state(Level.OPTIMAL, at=datetime.now(UTC)))
    async with running(bus, tmp_path, clock=clock) as replica:
        await replica.until_ready()
        await replica.put(HELD, state="DISABLED", expires_in_s=600)
        clock.step = timedelta(seconds=-300)
        assert (await replica.feature(HELD))["state"] == "DISABLED"

        clock.step, stepped_s = timedelta(seconds=601), loop.time()
        await replica.until_state(HELD, "ENABLED")
        took_s = loop.time() - stepped_s
        await until(lambda: bus.records(Topic.HOLDS)[-1].value is None)
        clock.step = timedelta()
        shown = await replica.feature(HELD)

    assert took_s < 1
    assert (shown["state"], shown["hold"]) == ("ENABLED", None)
    assert [entry.action for entry in audited(bus)] == ["hold.set", "hold.expire"]


async def test_an_end_with_another_offset_is_kept_in_utc_and_a_duration_needs_no_zone(
    replica: Replica,
) -> None:
    """Bug row 12 (PostHog 54979): shown in one time zone, done in another."""
    ends = (datetime.now(UTC) + timedelta(hours=2)).replace(microsecond=0)
    local = ends.astimezone(timezone(timedelta(hours=5, minutes=30))).isoformat()

    by_time = (await replica.put(HELD, state="DISABLED", expires_at=local)).json()
    by_length = (await replica.put("analytics.reports", state="DISABLED", expires_in_s=60)).json()

    assert by_time["expires_at"] == ends.strftime("%Y-%m-%dT%H:%M:%S.000Z")
    left = datetime.fromisoformat(by_length["expires_at"]) - datetime.now(UTC)
    assert timedelta(seconds=50) < left <= timedelta(seconds=60)


async def test_a_hold_ends_on_time_though_its_writer_was_killed_just_before_and_nobody_leads_yet(
    bus: MemoryBus, tmp_path: Path
) -> None:
    """Each replica judges by the time itself; only the record of the end waits for whoever leads next."""
    lease, loop = HandedLease(held=False), asyncio.get_running_loop()
    await tell(bus, level_state(Level.OPTIMAL, at=datetime.now(UTC)))
    ends = datetime.now(UTC) + timedelta(seconds=0.5)
    await tell(bus, hold_set(set_at=datetime.now(UTC), version=1).model_copy(update={"expires_at": ends}))
    async with running(bus, tmp_path, "left", lease=lease) as left:
        await left.until_state(HELD, "DISABLED")
        due_s = loop.time() + (ends - datetime.now(UTC)).total_seconds()
        await left.until_state(HELD, "ENABLED")
        late_s = loop.time() - due_s

        assert late_s < 1
        assert bus.records(Topic.HOLDS)[-1].value is not None
        lease.held = True
        await until(lambda: bus.records(Topic.HOLDS)[-1].value is None)

    assert [entry.action for entry in audited(bus)] == ["hold.expire"]
