"""`resilience policy replay` over files: what it says is what the engine did, and nothing stops it."""

from __future__ import annotations

import io
import json
import re
import sys
import tracemalloc
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resilience_cli.policy_log import LINE_LIMIT_BYTES, line_of_entry, read_file
from resilience_cli.policy_replay import Replay
from resilience_cli.policy_report import span_text
from resilience_contracts import (
    FeatureState,
    HealthObserved,
    Level,
    default_policy,
    default_policy_text,
    parse_policy,
)
from tests.cli.policy_logs import call, entry, moved, shop_with_outages, write
from tests.contracts.states import level_changed
from tests.degradation_engine.shop import POLICY, START, Shop, at

NAMES = sorted(POLICY.dependencies)


@cache
def shop() -> Shop:
    """PostgreSQL goes for five minutes and comes back for good."""
    return shop_with_outages(("postgresql", 300))


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return write(tmp_path / "log.jsonl", shop().log)


def patient(tmp_path: Path) -> Path:
    """The default policy, but nobody is promoted before ten minutes have passed."""
    path = tmp_path / "patient.yaml"
    path.write_text(
        default_policy_text().replace("promote_dwell_s: 120", "promote_dwell_s: 600"), encoding="utf-8"
    )
    return path


def document(*words: object) -> dict[str, Any]:
    called = call("replay", *words, "--json")
    assert called.code == 0, called.err
    replayed: dict[str, Any] = json.loads(called.out)
    return replayed


def replayed(events: list[HealthObserved], **options: Any) -> Replay:
    replay = Replay({"current": POLICY}, **options)
    for event in events:
        replay.take(entry(event))
    replay.close()
    return replay


def test_the_changes_are_those_the_engine_made(log: Path) -> None:
    policy = document("--from", log)["policies"][0]

    made = [(change.from_level, change.to_level, change.cause) for change in shop().changes]
    assert len(made) == 4
    assert [(change["from"], change["to"], change["cause"]) for change in policy["latest"]] == made
    assert (policy["changes"], policy["demotions"], policy["sha256"]) == (4, 1, POLICY.sha256)


def test_a_warning_is_replayed_as_the_engine_gave_it_and_a_policy_without_gives_none(tmp_path: Path) -> None:
    slow = Shop(latency_ms={"openai": 400}).run(4000)
    for latency_ms, seconds in ((2000, 150), (400, 400)):
        slow.latency_ms["openai"] = latency_ms
        slow.run(seconds)
    without = tmp_path / "without.yaml"
    without.write_text(re.sub("(?m)^early_warning: .*$", "", default_policy_text()), encoding="utf-8")

    current, other = document("--from", write(tmp_path / "log.jsonl", slow.log), "--policy", without)[
        "policies"
    ]

    made = [(change.from_level, change.to_level, change.cause) for change in slow.changes]
    assert [(change["from"], change["to"], change["cause"]) for change in current["latest"]] == made
    assert "takes 5.0 x its usual for this hour" in made[0][2]
    assert (current["changes"], other["changes"]) == (2, 0)


def test_the_time_at_each_level_and_in_each_state_is_what_passed_between_the_changes(log: Path) -> None:
    policy = document("--from", log)["policies"][0]

    times = [change.changed_at for change in shop().changes]
    down_s = (times[1] - times[0]).total_seconds()
    assert policy["levels_s"]["MINIMAL"] == down_s
    assert policy["levels_s"]["DEGRADED"] == (times[3] - times[2]).total_seconds()
    assert policy["levels_s"]["EMERGENCY"] == 0
    assert policy["features_s"]["inventory.availability"]["FALLBACK"] == down_s
    assert policy["features_s"]["performance.caching"]["ENABLED"] == sum(policy["levels_s"].values())


@settings(max_examples=10, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(NAMES), st.integers(1, 120)), max_size=2),
    st.integers(min_value=0, max_value=1200),
)
def test_every_second_of_a_scope_is_counted_once(outages: list[tuple[str, int]], begin_s: int) -> None:
    events = shop_with_outages(*outages).log

    replay = replayed(events, begin=at(begin_s))

    tally = replay.trials[0].tally
    counted = max(0.0, (events[-1].observed_at - max(at(begin_s), events[0].observed_at)).total_seconds())
    assert sum(tally.levels_s().values()) == pytest.approx(counted)
    for states in tally.features_s(POLICY).values():
        assert sum(states.values()) == pytest.approx(counted)
    assert sum(tally.unwell_ms.values()) / 1000 == pytest.approx(counted - tally.levels_s()[Level.OPTIMAL])


def test_another_policy_stands_beside_the_one_in_force(log: Path, tmp_path: Path) -> None:
    policies = document("--from", log, "--policy", patient(tmp_path))["policies"]
    table = call("replay", "--from", log, "--policy", patient(tmp_path)).out

    current, other = policies
    assert [policy["name"] for policy in policies] == ["current", "patient.yaml"]
    assert other["sha256"] != current["sha256"]
    assert other["changes"] == 1
    assert other["levels_s"]["MINIMAL"] > current["levels_s"]["MINIMAL"]
    assert "difference" in table
    assert "-3" in next(line for line in table.splitlines() if line.strip().startswith("changes"))


def test_an_outage_before_the_moment_asked_for_settles_the_level_and_counts_for_nothing(log: Path) -> None:
    middle = shop().changes[0].changed_at + timedelta(seconds=60)

    policy = document("--from", log, "--since", middle.isoformat())["policies"][0]

    assert policy["demotions"] == 0
    assert policy["changes"] == 3
    back_at = shop().changes[1].changed_at
    assert policy["levels_s"]["MINIMAL"] == (back_at - middle).total_seconds()


def test_duplicates_and_another_order_of_scopes_change_nothing(tmp_path: Path) -> None:
    once = replayed(shop().log)
    elsewhere = [event.model_copy(update={"scope": "eu-west"}) for event in shop().log]

    twice = replayed([event for event in shop().log for _ in range(2)])
    both = replayed([*shop().log, *elsewhere])

    assert twice.trials[0].tally == once.trials[0].tally
    assert both.scopes == 2
    assert both.trials[0].tally.changes == {"default": 4, "eu-west": 4}
    assert both.trials[0].tally.levels_s() == {
        level: 2 * spent for level, spent in once.trials[0].tally.levels_s().items()
    }


def test_what_time_alone_brings_after_the_last_event_counts_too() -> None:
    lost = parse_policy(default_policy_text().replace("on_monitor_lost: keep", "on_monitor_lost: EMERGENCY"))
    last = shop().log[-1].observed_at
    replay = Replay({"lost": lost}, end=last + timedelta(minutes=20))

    for event in shop().log:
        replay.take(entry(event))
    replay.close()

    tally = replay.trials[0].tally
    assert tally.latest[-1].target is Level.EMERGENCY
    assert 0 < tally.levels_s()[Level.EMERGENCY] <= (20 - 10) * 60


def test_one_scope_may_be_looked_at_alone(tmp_path: Path) -> None:
    elsewhere = [event.model_copy(update={"scope": "eu-west"}) for event in shop().log]
    log = write(tmp_path / "log.jsonl", [*shop().log, *elsewhere])

    replay = document("--from", log, "--scope", "eu-west")

    assert (replay["scopes"], replay["events"]) == (1, len(elsewhere))
    assert [scope["scope"] for scope in replay["policies"][0]["worst_scopes"]] == ["eu-west"]


def test_only_the_last_changes_are_kept_and_all_are_counted(log: Path) -> None:
    policy = document("--from", log, "--changes", 2)["policies"][0]

    assert policy["changes"] == 4
    assert [change["to"] for change in policy["latest"]] == ["DEGRADED", "OPTIMAL"]


HOSTILE = (
    b"\n",
    b"not json\n",
    b"[]\n",
    b'{"specversion": "1.0"}\n',
    b"\xff\xfe\n",
    b'{"topic": "resilience.health.v1", "data": {}}\n',
    b"[" * 100_000 + b"\n",
)


def test_lines_that_are_no_events_are_counted_and_named(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    good = [line_of_entry(entry(event)) for event in shop().log]
    spoilt = line_of_entry(entry(shop().log[0])).replace(b'"latency_ms":5.0', b'"latency_ms":NaN')
    log.write_bytes(b"".join([*HOSTILE, spoilt, *good]))

    replay = document("--from", log)

    assert replay["skipped"]["count"] == len(HOSTILE)
    assert replay["skipped"]["first"][0].startswith("line 2: the value is not JSON")
    assert replay["policies"][0]["changes"] == 4


def test_what_a_line_says_does_not_steer_the_terminal(tmp_path: Path) -> None:
    log = write(tmp_path / "log.jsonl", shop().log)
    change = level_changed()
    data = {**change.model_dump(mode="json"), "features": {"\x1b[2J": "?"}}
    event = {"specversion": "1.0", "id": "1", "source": "/x", "type": change.type, "data": data}
    hostile = json.dumps(event).encode()
    log.write_bytes(hostile + b"\n" + log.read_bytes())

    said = call("replay", "--from", log).out

    assert r"\x1b[2J" in said
    assert "\x1b" not in said


def test_events_that_the_engine_refuses_are_counted_by_reason(tmp_path: Path) -> None:
    unknown = shop().log[0].model_copy(update={"dependency": "payment"})
    future = moved(shop().log[1], timedelta(days=365 * 64))
    past = moved(shop().log[1], timedelta(days=-365 * 56))
    lines = [line_of_entry(entry(event, START)) for event in (unknown, future, past)]
    log = write(tmp_path / "log.jsonl", shop().log)
    log.write_bytes(b"".join(lines) + log.read_bytes())

    replay = document("--from", log)

    assert replay["policies"][0]["refused"] == {"unknown_dependency": 1, "time_ahead": 1, "time_behind": 1}
    assert replay["policies"][0]["changes"] == 4
    assert any("unknown_dependency" in note for note in replay["notes"])


def test_a_dependency_that_the_log_does_not_know_is_noted(tmp_path: Path) -> None:
    log = write(tmp_path / "log.jsonl", [event for event in shop().log if event.dependency != "s3"])

    notes = document("--from", log)["notes"]

    assert "current: the log says nothing of s3, so that counts as UNKNOWN" in notes


def test_a_line_without_an_end_does_not_fill_the_memory(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    with log.open("wb") as file:
        for _ in range(40):
            file.write(b"x" * LINE_LIMIT_BYTES)
        file.write(b"\n" + line_of_entry(entry(shop().log[0])))
    replay = Replay({"current": POLICY})

    tracemalloc.start()
    read_file(log, replay, lambda _done, _total: None)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert (replay.events, replay.skipped) == (1, 1)
    assert peak < 8 * LINE_LIMIT_BYTES


def test_memory_is_that_of_the_scopes_and_not_of_the_log() -> None:
    entries = [entry(event) for event in shop().log]
    replay = Replay({"current": POLICY})

    tracemalloc.start()
    for seen in entries:
        replay.take(seen)
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert size < 0.2 * sum(len(line_of_entry(seen)) for seen in entries)


def test_a_copy_replays_to_the_same(log: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.jsonl"

    first = call("replay", "--from", log, "--save", copy, "--json")

    assert copy.read_bytes() == log.read_bytes()
    assert document("--from", copy) == json.loads(first.out)
    assert f"--from {copy} --since" in first.err


def test_a_log_may_come_from_stdin(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from_file = document("--from", log)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(log.read_bytes())))

    assert document("--from", "-") == from_file


def test_an_event_without_a_stored_time_is_as_old_as_it_says(log: Path, tmp_path: Path) -> None:
    plain = tmp_path / "plain.jsonl"
    lines = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    for line in lines:
        del line["storedtime"]
    plain.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")

    assert document("--from", plain)["policies"] == document("--from", log)["policies"]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty directory to work in, and a wide terminal."""
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("--since", "6h"), 2, "name a moment"),
        (("--since", "yesterday"), 2, "name a moment"),
        (("--scope", "nowhere"), 3, "no health event of scope nowhere"),
        (("--policy", "missing.yaml"), 3, "missing.yaml cannot be read"),
        (("--save", "missing/log.jsonl"), 3, "missing/log.jsonl cannot be written"),
    ],
)
def test_what_cannot_be_done_is_said(
    words: tuple[str, ...], code: int, said: str, log: Path, here: Path
) -> None:
    called = call("replay", "--from", log, *words)

    assert called.code == code
    assert said in called.err
    assert "Traceback" not in called.err
    assert not list(here.glob("**/.*.new"))


def test_another_policy_with_a_fault_is_refused_with_the_way_to_see_all(log: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.yaml"
    broken.write_text(default_policy_text().replace("weight: 50", "weight: 51"), encoding="utf-8")

    called = call("replay", "--from", log, "--policy", broken)

    assert called.code == 3
    assert "dependencies.*.weight: weights must add up to 100" in called.err
    assert f"resilience policy check {broken}" in called.err


def test_a_file_with_nothing_in_it_says_what_would_be_one(tmp_path: Path) -> None:
    empty = tmp_path / "empty.jsonl"
    empty.write_bytes(b"hello\n")

    called = call("replay", "--from", empty)

    assert called.code == 3
    assert "line 1: the value is not JSON" in called.err
    assert "--save FILE" in called.err


def test_the_table_names_what_was_lost_and_each_change(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "160")

    said = call("replay", "--from", log).out

    assert "1 scope" in said
    assert "analytics.reports" in said
    assert "performance.caching" not in said, "it was never lost"
    assert "OPTIMAL > MINIMAL" in said
    assert "postgresql is DOWN" in said


def test_nothing_lost_is_said(tmp_path: Path) -> None:
    log = write(tmp_path / "log.jsonl", shop_with_outages().log)

    said = call("replay", "--from", log).out

    assert "The level would never have changed" in said


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (9.5, "9.5s"), (61, "1m01s"), (3600, "1h00m"), (90_061, "1d01h")],
)
def test_lengths_of_time_are_for_people(seconds: float, text: str) -> None:
    assert span_text(seconds) == text


def test_features_are_counted_in_the_order_of_the_policy() -> None:
    replay = replayed(shop().log)

    spent = replay.trials[0].tally.features_s(POLICY)

    assert list(spent) == list(default_policy().features)
    assert spent["inventory.reservations"][FeatureState.DISABLED] > 0
    assert replay.begin == shop().log[0].observed_at
    assert isinstance(replay.end, datetime)
    assert replay.end.tzinfo is UTC
