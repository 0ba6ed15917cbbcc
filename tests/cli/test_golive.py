"""The checklists: each point is seen to fail, is in the runbook in the same words, and bad input is one line."""

from __future__ import annotations

import json
import re
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, cast

import pytest

from resilience_cli.golive import Checklist, System, Verdict, attestations, judge
from resilience_cli.golive_points import POINTS
from resilience_cli.rollout_gate import COUNTED_FOR_EVER
from resilience_contracts import Level
from tests.cli.command import Called, Command
from tests.cli.golive_system import AWAY, Facts, TellingSystem

RUNBOOKS = Path("docs/runbooks")
POINT = re.compile(r"^- \[ \] (.*?) \(`([a-z-]+)`\)$", re.MULTILINE)
WRONG: dict[str, tuple[dict[str, object], str]] = {
    "kafka-copies": ({"copies": {"a": 3, "b": 1}}, "b has 1"),
    "kafka-access": ({"encrypted": False}, "without TLS"),
    "kafka-rights": ({"rights_that_differ": ["foreign: mallory"]}, "foreign: mallory"),
    "topics": ({"topics_that_differ": ["a", "b", "c", "d"]}, "a; b; c and 1 more"),
    "policy": ({"policy_differs": True}, "different policies"),
    "keys": ({"open_doors": ["POST it gave 422"]}, "gave 422"),
    "replicas": ({"replicas": {"flag-service": 1, "degradation-engine": 2}}, "flag-service: 1"),
    "ready": ({"not_ready": ["flag-service: HTTP 503"]}, "HTTP 503"),
    "level": ({"level": (Level.LIMITED, False)}, "LIMITED"),
    "contradictions": ({"contradictions": {"1_stock": 0.0, "2_held": 4.0}}, "2_held: 4"),
    "dead-letters": ({"dead_letters": ["x.dlq/0/1: broken"]}, "x.dlq/0/1: broken"),
    "audit-log": ({"audit_faults": ["w/2: changed"]}, "w/2: changed"),
    "alerts": ({"missing_alerts": ["LevelStale"]}, "LevelStale"),
    "alertmanager": ({"alertmanagers": ()}, "nowhere"),
    "metrics": ({"not_scraped": ["flag-service"]}, "flag-service"),
    "smoke": ({"smoke_failures": ["hold: no"]}, "hold: no"),
    "holds": ({"holds": ["level in default"]}, "level in default"),
}
AUTOMATIC = {point.name: point for points in POINTS.values() for point in points if point.look}
MANUAL = {
    checklist: [point.name for point in points if not point.look] for checklist, points in POINTS.items()
}


def system(facts: Facts) -> System:
    return cast(System, TellingSystem(facts))


def verdicts(checklist: Checklist, facts: Facts) -> dict[str, tuple[Verdict, str]]:
    found = judge(POINTS[checklist], system(facts), {})
    return {each.point.name: (each.verdict, each.detail) for each in found}


@pytest.mark.parametrize("checklist", Checklist)
def test_where_all_is_so_only_what_a_person_has_to_see_is_left(checklist: Checklist) -> None:
    found = verdicts(checklist, Facts())

    assert [name for name, (verdict, _) in found.items() if verdict is Verdict.MANUAL] == MANUAL[checklist]
    assert {verdict for verdict, _ in found.values()} == {Verdict.PASSED, Verdict.MANUAL}


@pytest.mark.parametrize("name", WRONG)
def test_a_point_fails_when_it_is_not_so_and_no_other_does(name: str) -> None:
    facts, reason = WRONG[name]

    for checklist, points in POINTS.items():
        failed = {
            point: detail
            for point, (verdict, detail) in verdicts(checklist, replace(Facts(), **facts)).items()
            if verdict is Verdict.FAILED
        }
        assert failed.keys() == {name} & {point.name for point in points}
        assert all(reason in detail for detail in failed.values())


def test_each_automatic_point_is_among_those_and_each_fact_is_asked_for() -> None:
    assert WRONG.keys() == AUTOMATIC.keys()
    assert {fact for facts, _ in WRONG.values() for fact in facts} == {field.name for field in fields(Facts)}


@pytest.mark.parametrize(
    "level", [(None, False), (Level.OPTIMAL, True), *((level, False) for level in Level if level)]
)
def test_a_level_that_is_unknown_stale_or_not_optimal_fails(level: tuple[Level | None, bool]) -> None:
    assert verdicts(Checklist.DEPLOYMENT, Facts(level=level))["level"][0] is Verdict.FAILED


def test_a_deadlock_of_once_is_no_contradiction() -> None:
    facts = Facts(contradictions={COUNTED_FOR_EVER: 3.0, "1_stock": 0.0})

    assert verdicts(Checklist.DEPLOYMENT, facts)["contradictions"][0] is Verdict.PASSED


@pytest.mark.parametrize("name", AUTOMATIC)
def test_what_does_not_answer_fails_with_that_remedy(name: str) -> None:
    (fact,) = WRONG[name][0]

    (found,) = judge([AUTOMATIC[name]], system(replace(Facts(), **{fact: AWAY})), {})

    assert (found.verdict, found.detail, found.remedy) == (Verdict.FAILED, AWAY.message, AWAY.remedy)


def test_who_attests_a_manual_point_gives_the_evidence() -> None:
    (point,) = [point for point in POINTS[Checklist.DEPLOYMENT] if point.name == "tests"]
    link = "https://ci.example/runs/7"

    (found,) = judge([point], system(Facts()), attestations([f"tests={link}"], [point]))

    assert (found.verdict, found.evidence, found.remedy) == (Verdict.ATTESTED, link, "")


def test_a_file_that_is_there_is_evidence_too(tmp_path: Path) -> None:
    record = tmp_path / "restored.md"
    record.touch()

    assert attestations([f"restore={record}"], POINTS[Checklist.GO_LIVE]) == {"restore": str(record)}


@pytest.mark.parametrize("checklist", Checklist)
def test_the_runbook_has_the_same_points_in_the_same_words_and_order(checklist: Checklist) -> None:
    written = POINT.findall((RUNBOOKS / f"{checklist}.md").read_text(encoding="utf-8"))

    assert [(name, text) for text, name in written] == [
        (point.name, point.text) for point in POINTS[checklist]
    ]


@pytest.mark.parametrize(
    "point",
    {point.name: point for points in POINTS.values() for point in points}.values(),
    ids=lambda p: p.name,
)
def test_each_point_has_evidence_that_is_there_and_a_remedy(point: Any) -> None:
    files = re.findall(r"(?:infra|docs|services|\.ci)/[\w./*-]+\w", f"{point.evidence} {point.remedy}")

    assert point.evidence
    assert point.remedy
    assert [name for name in files if not list(Path().glob(name))] == []


def checked(tmp_path: Path, *words: str) -> Called:
    """Ask where nothing runs."""
    return Command(tmp_path / "none").call("golive", "check", *words)


@pytest.mark.parametrize(
    ("words", "code", "reason"),
    [
        (("someday",), 2, "is not one of"),
        (
            ("--attest", "tests=https://ci.example/7"),
            2,
            "'tests' is no point to attest; those are night-page",
        ),
        (("--attest", "topics=https://ci.example/7"), 2, "'topics' is no point to attest"),
        (("--attest", "roles"), 2, "http(s) address or a file that is there"),
        (("--attest", "roles=nowhere.md"), 2, "http(s) address or a file that is there"),
        (("--attest", "roles=http://["), 2, "http(s) address or a file that is there"),
        (("--attest", "roles=http://a/\x1b[2J"), 2, "http(s) address or a file that is there"),
        (("--attest", "roles=http://a", "--attest", "roles=http://b"), 2, "roles is attested twice"),
        (("--json", "--markdown"), 2, "one of --json and --markdown"),
        (("--prometheus", "ftp://there"), 3, "is no address"),
        (("--prometheus", "http://me:a-secret@there"), 3, "names a user"),
    ],
)
def test_bad_input_is_said_before_anything_is_looked_at(
    tmp_path: Path, words: tuple[str, ...], code: int, reason: str
) -> None:
    called = checked(tmp_path, *words)

    said = " ".join(re.sub(r"[│╭╮╰╯─]", " ", called.err).split())
    assert (called.code, called.out) == (code, "")
    assert reason in said
    assert "\x1b" not in called.err


def test_a_record_is_one_row_a_point_whatever_is_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    evil = Facts(holds=["a|b\n| c | <script> in default"])
    monkeypatch.setattr("resilience_cli.commands.golive.RunningSystem", lambda *_: closable(evil))
    links = [
        word for name in MANUAL[Checklist.DEPLOYMENT] for word in ("--attest", f"{name}=http://a/{name}")
    ]

    page = checked(tmp_path, "deployment", "--markdown", *links)
    document = json.loads(checked(tmp_path, "deployment", "--json", *links).out)
    text = checked(tmp_path, "deployment", *links)

    rows = page.out.split("|---|---|---|---|---|---|\n")[1].splitlines()
    assert len(rows) == len(document["points"]) == len(POINTS[Checklist.DEPLOYMENT])
    assert {len(re.split(r"(?<!\\)\|", row)) for row in rows} == {8}
    assert "<script>" not in page.out
    assert text.out.splitlines()[-1] == "6 PASS, 1 FAIL, 0 MANUAL, 4 ATTESTED"
    assert (page.code, text.code, document["passed"]) == (1, 1, False)


def test_all_seen_and_attested_is_0(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resilience_cli.commands.golive.RunningSystem", lambda *_: closable(Facts()))
    links = [word for name in MANUAL[Checklist.GO_LIVE] for word in ("--attest", f"{name}=http://a/{name}")]

    assert checked(tmp_path, *links[:-2]).code == 1
    assert checked(tmp_path, *links).code == 0


def closable(facts: Facts) -> TellingSystem:
    told = TellingSystem(facts)
    told.close = lambda: None  # type: ignore[attr-defined]
    return told
