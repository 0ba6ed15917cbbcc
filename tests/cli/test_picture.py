"""What a person and a program see of a scope."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from datetime import timedelta

import pytest
from rich.console import Console

from resilience_cli.changes import KEPT, RecentChanges
from resilience_cli.console import tame
from resilience_cli.feed import apply_message
from resilience_cli.lines import line_of
from resilience_cli.picture import as_json, as_text
from resilience_contracts import Event, Level, LevelChanged, Topic, VersionPart, View, encode
from resilience_runtime.bus import BadMessage, Message
from tests.contracts.states import (
    NOW,
    POLICY,
    breaker_observed,
    health_observed,
    hold_set,
    level_changed,
    level_state,
)

PART = {"redis": {"status": "ready", "pid": 1, "port": 2, "restarts": 3}}


def message(event: Event) -> Message:
    topic, key, value, headers = encode(event, "/test")
    return Message(topic, key, value, headers, 0, 0, 0)


def view(*events: Event) -> View:
    made = View(POLICY)
    for event in events:
        apply_message(made, message(event))
    return made


def shown(
    seen: View, seconds: float = 0, changes: Sequence[LevelChanged] = (), scope: str = "default"
) -> str:
    console = Console(file=io.StringIO(), width=160)
    console.print(as_text(seen, scope, NOW + timedelta(seconds=seconds), PART, changes))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.mark.parametrize("level", list(Level))
def test_a_level_is_shown_with_its_cause_dependencies_features_and_parts(level: Level) -> None:
    text = shown(view(level_state(level)))

    for word in (level.name, "an example", "redis", "UP", *POLICY.features, "ready"):
        assert word in text


def test_an_unknown_level_is_said_to_be_unknown() -> None:
    assert "No level of scope default was ever published" in shown(view())
    assert as_json(view(), "default", NOW, {})["level"] is None


def test_a_silent_engine_is_shown_as_stale() -> None:
    assert "STALE" not in shown(view(level_state()), seconds=89)
    assert "STALE: nothing heard for 1 m 31 s" in shown(view(level_state()), seconds=91)


def test_a_hold_shows_in_both_forms() -> None:
    seen = view(level_state(), hold_set())

    document = as_json(seen, "default", NOW, PART)
    held = next(feature for feature in document["features"] if feature["held"])

    assert "the assistant invents prices" in shown(seen)
    assert (held["key"], held["state"], held["automatic"]) == (
        "integrations.ai_assistant",
        "DISABLED",
        "ENABLED",
    )
    assert json.loads(json.dumps(document)) == document


def test_markup_in_what_others_wrote_is_shown_as_it_is() -> None:
    cause = "[bold]not markup[/] [/nor this]"
    state = level_state().model_copy(update={"cause": cause})

    assert cause in shown(view(state))


def test_a_tombstone_ends_a_hold() -> None:
    seen = view(level_state(), hold_set())
    key = hold_set().key.encode()

    apply_message(seen, Message(str(Topic.HOLDS), key, None, (), 0, 1, 0))

    assert seen.holds(NOW) == []


def test_garbage_is_a_bad_message() -> None:
    with pytest.raises(BadMessage):
        apply_message(view(), Message(str(Topic.LEVELS), b"default", b"\x00\xff", (), 0, 0, 0))


@pytest.mark.parametrize(
    ("event", "words"),
    [
        (health_observed(), ("eu-west.store-042", "redis", "ok 3.5 ms", "monitor-1")),
        (breaker_observed(), ("breaker OPEN",)),
        (level_state(Level.LIMITED), ("default", "LIMITED", "score 70", "1.1", "an example")),
        (level_changed(), ("OPTIMAL -> MINIMAL", "floor", "postgresql DOWN")),
        (hold_set(), ("default/integrations.ai_assistant", "DISABLED", "until", "invents prices")),
    ],
)
def test_an_event_is_one_line(event: Event, words: tuple[str, ...]) -> None:
    line = line_of(event)

    assert "\n" not in line
    assert [word for word in words if word not in line] == []


def test_what_somebody_put_into_a_topic_does_not_steer_the_terminal() -> None:
    hostile = "all well\x1b[2J\x1b]0;owned\x07\r"
    screen = io.StringIO()
    seen = view(level_state().model_copy(update={"cause": hostile}))

    Console(file=screen, width=200).print(as_text(seen, "default", NOW, {}))

    assert "\x1b" not in screen.getvalue()
    assert r"all well\x1b[2J\x1b]0;owned\x07\r" in screen.getvalue()


def test_plain_text_of_any_script_is_shown_as_it_is() -> None:
    assert tame("Größe 尺寸\n50 % > 40 %") == "Größe 尺寸\n50 % > 40 %"


def test_the_last_changes_are_shown_newest_first_with_cause_and_colour_by_level() -> None:
    changes = [change(2, "mended [bold]"), change(1, "broken\x1b[2J")]

    text = shown(view(level_state()), 61, changes)

    newer, older = text.index("mended [bold]"), text.index("broken")
    assert newer < older
    assert "1 m 1 s ago" in text[:newer].splitlines()[-1]
    assert "\x1b" not in text
    assert "changed" not in shown(view(level_state()))


def test_of_changes_the_last_few_of_a_scope_are_kept_and_a_repetition_counts_once() -> None:
    changes = RecentChanges()
    for counter in (*range(1, KEPT + 4), KEPT + 3, 2):
        changes.apply(message(change(counter)))

    assert [one.version.counter for one in changes.newest("default")] == list(range(KEPT + 3, 3, -1))
    assert changes.newest("elsewhere") == []
    changes.forget()
    assert changes.newest("default") == []


@pytest.mark.parametrize("value", [b"{", None])
def test_what_is_no_change_is_a_bad_message(value: bytes | None) -> None:
    for wrong in (Message(Topic.LEVEL_CHANGES, b"k", value, (), 0, 0, 0), message(level_state())):
        with pytest.raises(BadMessage):
            RecentChanges().apply(wrong)


def change(counter: int, cause: str = "an example") -> LevelChanged:
    return level_changed().model_copy(
        update={
            "scope": "default",
            "version": VersionPart(epoch=1, counter=counter),
            "cause": cause,
            "changed_at": NOW,
        }
    )


def test_a_store_that_follows_its_region_says_so() -> None:
    seen = view(level_state(Level.LIMITED, scope="eu-west"))

    assert "as eu-west: eu-west.store-1 has no level of its own" in shown(seen, scope="eu-west.store-1")
    document = as_json(seen, "eu-west.store-1", NOW, PART)
    assert (document["scope"], document["follows"], document["level"]["level"]) == (
        "eu-west.store-1",
        "eu-west",
        "LIMITED",
    )
    assert as_json(seen, "eu-west", NOW, PART)["follows"] is None
