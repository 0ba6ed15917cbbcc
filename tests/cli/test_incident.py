"""The incident report, from records as the services write them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from resilience_cli.durations import parse_duration, spoken
from resilience_cli.incident import Lost, report
from resilience_cli.incident_page import document, page
from resilience_contracts import (
    BreakerReport,
    BreakerState,
    DecidedBy,
    Event,
    FeatureState,
    Level,
    LevelChanged,
    VersionPart,
    encode,
)
from resilience_runtime.bus import Message
from tests.cli.command import Command
from tests.contracts.states import (
    adjustment_command,
    audit_recorded,
    breaker_observed,
    level_changed,
)

SINCE = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
UNTIL = SINCE + timedelta(hours=1)


def at(minutes: float) -> datetime:
    return SINCE + timedelta(minutes=minutes)


def recorded(*events: Event) -> Iterator[Message]:
    for offset, event in enumerate(events):
        topic, key, value, headers = encode(event, "/services/test/1")
        yield Message(topic, key, value, headers, 0, offset, int(event.time.timestamp() * 1000))


def changed(counter: int, minutes: float, one: Level, other: Level, **features: FeatureState) -> LevelChanged:
    return level_changed().model_copy(
        update={
            "version": VersionPart(epoch=1, counter=counter),
            "from_level": one.name,
            "from_rank": one.value,
            "to_level": other.name,
            "to_rank": other.value,
            "decided_by": DecidedBy.FLOOR,
            "features": {name.replace("__", "."): state for name, state in features.items()},
            "changed_at": at(minutes),
        }
    )


OUTAGE = (
    changed(1, 10, Level.OPTIMAL, Level.MINIMAL, a__b=FeatureState.DISABLED, a__c=FeatureState.FALLBACK),
    changed(2, 30, Level.MINIMAL, Level.DEGRADED, a__b=FeatureState.FALLBACK, a__c=FeatureState.ENABLED),
    changed(3, 40, Level.DEGRADED, Level.MINIMAL, a__c=FeatureState.FALLBACK),
    changed(4, 45, Level.MINIMAL, Level.OPTIMAL, a__b=FeatureState.ENABLED),
)


def test_the_time_at_each_level_adds_up_to_the_whole() -> None:
    found = report(recorded(*reversed(OUTAGE)), "default", SINCE, UNTIL)

    minutes = {one.level: (spoken(one.total), spoken(one.longest)) for one in found.levels}
    assert minutes == {
        "OPTIMAL": ("25 m 0 s", "15 m 0 s"),
        "DEGRADED": ("10 m 0 s", "10 m 0 s"),
        "MINIMAL": ("25 m 0 s", "20 m 0 s"),
    }
    assert sum((one.total for one in found.levels), timedelta()) == UNTIL - SINCE
    assert (found.begin_level, found.worst_level, found.end_level) == ("OPTIMAL", "MINIMAL", "OPTIMAL")


def test_a_change_that_was_heard_or_announced_twice_counts_once() -> None:
    again = OUTAGE[0].model_copy(update={"version": VersionPart(epoch=1, counter=2)})
    later = [
        change.model_copy(update={"version": VersionPart(epoch=1, counter=change.version.counter + 1)})
        for change in OUTAGE[1:]
    ]

    found = report(recorded(OUTAGE[0], again, again, *later), "default", SINCE, UNTIL)

    assert found.levels == report(recorded(*OUTAGE), "default", SINCE, UNTIL).levels
    assert [entry.at for entry in found.timeline] == [change.changed_at for change in OUTAGE]


def test_features_are_followed_through_the_changes() -> None:
    lost = report(recorded(*OUTAGE), "default", SINCE, UNTIL).lost

    assert lost == [
        Lost("a.b", FeatureState.DISABLED, at(10), at(45), timedelta(minutes=35)),
        Lost("a.c", FeatureState.FALLBACK, at(10), None, timedelta(minutes=40)),
    ]


def test_a_feature_that_only_comes_back_was_lost_before() -> None:
    (lost,) = report(recorded(OUTAGE[3]), "default", SINCE, UNTIL).lost

    assert (lost.since, lost.until) == (SINCE, at(45))


def test_the_timeline_has_holds_breakers_writes_and_dead_letters_in_order() -> None:
    tripped = breaker_observed().model_copy(update={"scope": "default", "observed_at": at(11)})
    again = tripped.model_copy(update={"observed_at": at(12)})
    assert tripped.breaker is not None
    closed = BreakerReport(state=BreakerState.CLOSED, interval_s=5)
    mended = tripped.model_copy(update={"observed_at": at(44), "breaker": closed})
    hold = audit_recorded().model_copy(update={"recorded_at": at(20)})
    writes = [
        adjustment_command().model_copy(update={"accepted_at": at(minutes)}) for minutes in (13, 13.5, 25)
    ]
    letter = Message("inventory.stock.v1.dlq", None, b"?", (("dlq_error_class", b"CodecError"),), 0, 0,
                     int(at(14).timestamp() * 1000))  # fmt: skip

    found = report(
        [*recorded(mended, again, tripped, *writes, hold), letter, letter], "default", SINCE, UNTIL
    )

    assert [(entry.at, entry.kind, entry.text) for entry in found.timeline] == [
        (at(11), "breaker", "redis at monitor-1: CLOSED -> OPEN"),
        (at(13), "writes", "2 accepted, to be applied once PostgreSQL is back"),
        (at(14), "dead letters", "2 in inventory.stock.v1.dlq: CodecError"),
        (at(20), "hold.set", "integrations.ai_assistant at DISABLED, by ops: the assistant invents prices"),
        (at(25), "writes", "1 accepted, to be applied once PostgreSQL is back"),
        (at(44), "breaker", "redis at monitor-1: OPEN -> CLOSED"),
    ]  # fmt: skip


def test_other_scopes_other_times_and_garbage_are_left_out() -> None:
    before = changed(1, -1, Level.OPTIMAL, Level.MINIMAL)
    elsewhere = OUTAGE[0].model_copy(update={"scope": "elsewhere"})
    garbage = Message("resilience.audit.v1", b"k", b"\xff", (), 0, 0, int(at(5).timestamp() * 1000))

    found = report([*recorded(before, elsewhere), garbage], "default", SINCE, UNTIL)

    assert (found.timeline, found.levels, found.lost) == ([], [], [])
    assert "the level did not change" in page(found)


def test_what_somebody_wrote_is_text_on_the_page() -> None:
    nasty = audit_recorded().model_copy(
        update={"recorded_at": at(1), "reason": "a | b\n# c <img src=x> [d](e) \x1b[2J `f`"}
    )

    text = page(report(recorded(nasty), "default", SINCE, UNTIL))

    (row,) = (line for line in text.splitlines() if "hold.set" in line and line.startswith("| "))
    assert row.count("|") - row.count(r"\|") == 4
    assert r"a \| b \# c \<img src=x\> \[d\](e) \\x1b\[2J \`f\`" in row


def test_a_program_gets_the_same_report() -> None:
    found = document(report(recorded(*OUTAGE), "default", SINCE, UNTIL))

    assert found["levels"][-1] == {"level": "MINIMAL", "total_s": 1500.0, "longest_s": 1200.0}
    assert [entry["kind"] for entry in found["timeline"]] == ["level"] * 4


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("1h30m", 5400), ("2d", 172_800)])
def test_a_length_of_time_is_read(text: str, seconds: int) -> None:
    assert parse_duration(text).total_seconds() == seconds


@pytest.mark.parametrize("text", ["999999d", "9d9d", "5", "-1h", "0s", ""])
def test_no_length_of_time_is_wrong_usage(tmp_path: Path, text: str) -> None:
    called = Command(tmp_path).call("incident", "report", f"--since={text}")

    assert (called.code, repr(text) in called.err) == (2, True), called.err


def test_a_stretch_that_ends_before_it_begins_is_wrong_usage(tmp_path: Path) -> None:
    called = Command(tmp_path).call("incident", "report", "--since", "1h", "--until", "2h")

    assert (called.code, "not later than" in called.err) == (2, True)
