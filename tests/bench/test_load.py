"""What `make load` judges, on answers that are made up."""

from __future__ import annotations

import argparse
import sys
import xml.etree.ElementTree as ET
from dataclasses import replace
from typing import Any

import pytest

from resilience_cli.stack import SERVICES
from tests.bench.inventory_client import Answer, Outcome
from tests.bench.load import FREEZES, KILLS, SINGLE, USAGE, judged, main, phases
from tests.bench.load_mix import kinds
from tests.bench.load_phase import BURST_PER_S, Phase, Seen
from tests.bench.load_picture import picture
from tests.bench.load_profile import shares

BEGAN_S = 1_000.0
STATUS = {Answer.SERVED: 200, Answer.STALE: 200, Answer.LATER: 202, Answer.REFUSED: 503, Answer.WRONG: 500}


def seen(name: str, *answers: tuple[float, float, Answer], **more: Any) -> Seen:
    """Make what was seen of answers, each by the second at which it was due, its milliseconds, and what it was."""
    outcome = Outcome()
    for at_s, took_ms, answer in answers:
        outcome.statuses[STATUS.get(answer, 0)] += 1
        outcome.due_s.append(BEGAN_S + at_s)
        outcome.took_s.append(took_ms / 1000)
        outcome.answers.append(answer)
    phase = Phase(name, 100.0, fault=name if name in {*KILLS, *FREEZES} else "")
    return replace(Seen(phase, {"look": outcome}, BEGAN_S), **more)


def broken(what: Seen) -> list[str]:
    return [text for text, holds in judged(what) if not holds]


@pytest.mark.parametrize(
    ("slow", "slow_ms", "missed"),
    [(0, 0, []), (1, 31, ["p99 31 <= 30 ms"]), (6, 21, ["p95 21 <= 20 ms"])],
)
def test_a_steady_load_is_held_to_its_quantiles(slow: int, slow_ms: float, missed: list[str]) -> None:
    answers = [(n / 10, slow_ms if n < slow else 5.0, Answer.SERVED) for n in range(100)]

    assert broken(seen("steady", *answers)) == missed


@pytest.mark.parametrize("answer", [Answer.WRONG, Answer.NONE])
@pytest.mark.parametrize("name", ["steady", "burst", "users", "soak", "redis-kill"])
def test_one_answer_that_nobody_meant_is_one_too_many(name: str, answer: Answer) -> None:
    fine = [(n / 100, 5.0, Answer.SERVED) for n in range(999)]

    assert broken(seen(name, *fine, (9.99, 5.0, answer), mended_s=BEGAN_S)) == ["deliberate 99.90%"]


def test_what_is_refused_with_a_time_to_return_is_meant() -> None:
    answers = [(n, 5.0, answer) for n, answer in enumerate(list(Answer)[:4])]

    assert broken(seen("burst", *answers)) == []


@pytest.mark.parametrize(
    ("usual", "later", "last_s", "missed"),
    [
        (1.0, 0.0, 59.0, []),
        (1.0, 0.0, 89.0, []),
        (1.0, 0.0, 91.0, ["well 35 <= 30 s after"]),
        (1.0, 0.8, 93.0, ["well 35 <= 30 s after"]),
        (0.6, 0.6, 99.0, []),
        (0.6, 0.4, 99.0, ["well 40 <= 30 s after"]),
    ],
)
def test_after_an_outage_as_much_must_be_served_as_before(
    usual: float, later: float, last_s: float, missed: list[str]
) -> None:
    answers = []
    for n in range(1000):
        share = usual if n < 400 else 0.0 if n < 600 else later if n < 10 * last_s else usual
        answers.append((n / 10, 5.0, Answer.SERVED if n % 10 < 10 * share else Answer.REFUSED))

    what = seen("redis-kill", *answers, broken_s=BEGAN_S + 40, mended_s=BEGAN_S + 60)
    assert broken(what) == missed


@pytest.mark.parametrize(("mb_per_s", "missed"), [(0.0, 0), (0.01, 0), (0.03, 1)])
def test_a_service_may_not_grow_once_it_is_warm(mb_per_s: float, missed: int) -> None:
    memory = []
    for second in range(100):
        warming = 50.0 - max(0, 30 - second)
        jitter = (-1) ** second * 0.2
        parts = dict.fromkeys(SERVICES, 80.0) | {"inventory-api": warming + jitter + mb_per_s * second}
        memory.append((BEGAN_S + second, parts))

    assert len(broken(seen("soak", (0.0, 5.0, Answer.SERVED), memory=memory))) == missed


def test_the_picture_is_well_formed_and_shows_the_outage() -> None:
    answers = [(n / 10, 5.0, list(Answer)[n % 6]) for n in range(600)]
    drawn = picture(seen("redis-kill", *answers, broken_s=BEGAN_S + 20, mended_s=BEGAN_S + 40))

    root = ET.fromstring(drawn)  # noqa: S314 - our own
    assert root.tag.endswith("svg")
    assert "redis-kill" in {element.text for element in root.iter()}


def test_the_mix_is_that_of_a_shop() -> None:
    share = {kind.name: kind.share for kind in kinds(3)}

    assert share.pop("stock of one") + share.pop("availability") == pytest.approx(0.8)
    assert (share.pop("hold"), share.pop("confirm")) == (0.12, 0.05)
    assert sum(share.values()) == pytest.approx(0.03)


def test_a_profile_counts_each_function_once_in_a_stack() -> None:
    told = shares(["run (a.py:1);work (b.py:2) 3", "run (a.py:9);run (a.py:9) 1"])

    own, within = told.split("with what it calls")
    assert own.split("\n")[1:3] == ["  75.0%  work (b.py)", "  25.0%  run (a.py)"]
    assert within.split("\n")[1:3] == [" 100.0%  run (a.py)", "  75.0%  work (b.py)"]


def test_options_say_which_phases_and_how_long() -> None:
    wished = argparse.Namespace(
        phases="",
        freezes=False,
        per_s=300.0,
        steady_s=600.0,
        burst_s=1.0,
        users_s=2.0,
        soak_s=3.0,
        down_s=4.0,
    )

    assert [phase.name for phase in phases(wished)] == [*SINGLE, *KILLS]
    assert {phase.per_s for phase in phases(wished)} == {300.0, BURST_PER_S, None}
    assert next(phases(wished)).seconds == 600
    wished.phases = "kafka-freeze,steady"
    assert [phase.name for phase in phases(wished)] == ["steady", "kafka-freeze"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--phases", "steady,coffee"], "load: no phase coffee; `--help` lists them\n"),
        (["--per-s", "0"], "load: at least 1 request each second\n"),
        (["--soak-s", "-3"], "load: every phase takes at least 1 second\n"),
    ],
)
def test_what_cannot_be_done_is_told_with_the_remedy(
    words: list[str], said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["load", *words])

    assert main() == USAGE
    assert capsys.readouterr().err == said
