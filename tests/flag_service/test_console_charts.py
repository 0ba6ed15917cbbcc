from __future__ import annotations

from datetime import timedelta

from flag_service.http.console_charts import SPARK_WIDTH, spark, timeline
from resilience_contracts import Level, LevelChanged, LevelView, Observation, Outcome
from tests.contracts.states import NOW, level_changed, level_state

HOUR = timedelta(hours=1)


def probe(latency_ms: float, outcome: Outcome = Outcome.OK) -> Observation:
    return Observation(outcome=outcome, latency_ms=latency_ms, at=NOW)


def changed(start: Level, to: Level, minutes_ago: float) -> LevelChanged:
    return level_changed().model_copy(
        update={
            "from_level": start.name,
            "from_rank": int(start),
            "to_level": to.name,
            "to_rank": int(to),
            "changed_at": NOW - timedelta(minutes=minutes_ago),
        }
    )


def view(level: Level, *, since_min: float = 0, stale_since_min: float | None = None) -> LevelView:
    heard = NOW - timedelta(minutes=stale_since_min or 0)
    since = NOW - timedelta(minutes=since_min)
    state = level_state(level, at=heard).model_copy(update={"since": since})
    stale = stale_since_min is not None
    return LevelView("default", level, level.name, state.version.ordered(), stale, state)


def test_a_line_ends_at_the_right_edge_and_breaks_where_a_probe_missed() -> None:
    drawn = spark([probe(1), probe(3), probe(0, Outcome.TIMEOUT), probe(2)], most=4)

    assert drawn is not None
    assert drawn.lines == ("0,18.0 40,2.0", "120,10.0 120,10.0")
    assert drawn.misses == (80.0,)
    assert drawn.words == "Latency from 1 to 3 ms, half within 2 ms; 1 of 4 probes missed"


def test_few_probes_stand_at_the_right() -> None:
    drawn = spark([probe(5)], most=60)

    assert drawn is not None
    assert drawn.lines[0].endswith(f"{SPARK_WIDTH},2.0")


def test_only_misses_are_words_too() -> None:
    drawn = spark([probe(0, Outcome.REFUSED)], most=60)

    assert drawn is not None
    assert drawn.words == "1 of 1 probes missed"


def test_what_was_not_probed_is_not_drawn() -> None:
    assert spark([probe(0, Outcome.NOT_RUN)], most=60) is None


def test_each_stretch_is_in_the_row_of_its_level() -> None:
    changes = [changed(Level.MINIMAL, Level.LIMITED, 15), changed(Level.OPTIMAL, Level.MINIMAL, 30)]

    drawn = timeline(changes, view(Level.LIMITED), NOW, HOUR)

    assert [(s.level, s.row, s.x, s.width) for s in drawn] == [
        ("OPTIMAL", 0, 0.0, 500.0),
        ("MINIMAL", 3, 500.0, 250.0),
        ("LIMITED", 2, 750.0, 250.0),
    ]


def test_a_moment_is_still_seen() -> None:
    changes = [changed(Level.MINIMAL, Level.OPTIMAL, 29.999), changed(Level.OPTIMAL, Level.MINIMAL, 30)]

    drawn = timeline(changes, view(Level.OPTIMAL), NOW, HOUR)

    assert [s.width for s in drawn if s.level == "MINIMAL"] == [3.0]


def test_changes_before_the_period_only_say_where_it_began() -> None:
    changes = [changed(Level.OPTIMAL, Level.LIMITED, 90), changed(Level.LIMITED, Level.OPTIMAL, 120)]

    drawn = timeline(changes, view(Level.LIMITED), NOW, HOUR)

    assert [(s.level, s.x, s.width) for s in drawn] == [("LIMITED", 0.0, 1000.0)]


def test_without_changes_it_begins_when_the_level_did() -> None:
    drawn = timeline([], view(Level.OPTIMAL, since_min=15), NOW, HOUR)

    assert [(s.level, s.x, s.width) for s in drawn] == [("OPTIMAL", 750.0, 250.0)]


def test_nothing_is_drawn_after_the_engine_fell_silent() -> None:
    drawn = timeline([], view(Level.OPTIMAL, since_min=60, stale_since_min=15), NOW, HOUR)

    assert [(s.x, s.width) for s in drawn] == [(0.0, 750.0)]


def test_nothing_known_is_an_empty_chart() -> None:
    assert timeline([], None, NOW, HOUR) == []
