"""`resilience golive`: the checklists of docs/runbooks, looked at."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from typing import Annotated

import typer
from rich.markup import escape

from resilience_cli.console import EXIT_CODES, Exit, out, tame
from resilience_cli.golive import Checklist, Judged, Verdict, attestations, judge
from resilience_cli.golive_points import POINTS
from resilience_cli.golive_system import RunningSystem
from resilience_cli.rollout_reading import checked_url
from resilience_cli.target import find_target

STYLES = {
    Verdict.PASSED: "green",
    Verdict.ATTESTED: "green",
    Verdict.MANUAL: "yellow",
    Verdict.FAILED: "bold red",
}

app = typer.Typer(
    help="The checklists before go-live and before a deployment.", no_args_is_help=True, epilog=EXIT_CODES
)


@app.callback()
def golive() -> None:
    """The checklists before go-live and before a deployment."""


@app.command(
    epilog=f"Example: resilience golive check deployment --attest tests=https://ci.example/runs/7. {EXIT_CODES}"
)
def check(
    *,
    checklist: Annotated[Checklist, typer.Argument(help="Which one.")] = Checklist.GO_LIVE,
    attest: Annotated[
        list[str] | None,
        typer.Option(
            metavar="POINT=LINK",
            help="What shows that a manual point is so: an http(s) address or a file; repeat it for each.",
        ),
    ] = None,
    prometheus: Annotated[
        str, typer.Option(envvar="PROMETHEUS_URL", help="Where Prometheus is.")
    ] = "http://127.0.0.1:9090",
    as_document: Annotated[bool, typer.Option("--json", help="One JSON document, for programs.")] = False,
    as_page: Annotated[bool, typer.Option("--markdown", help="One Markdown page, for the record.")] = False,
) -> None:
    """Look at each point of docs/runbooks/go-live.md or deployment.md, and say what shows it.

    PASS and FAIL are seen by this command, MANUAL is for a person to see and to attest. Exits with 0 when every point is
    PASS or ATTESTED. Stock of the SKU SMOKE-TEST moves, nothing else is changed. RESILIENCE_API_KEY is used where a key
    is asked for.
    """
    points = POINTS[checklist]
    if as_document and as_page:
        raise typer.BadParameter("take one of --json and --markdown")
    try:
        attested = attestations(attest or (), points)
    except ValueError as error:
        raise typer.BadParameter(tame(str(error)), param_hint="--attest") from error
    found: list[Judged] = []
    with closing(RunningSystem(find_target(), checked_url(prometheus, "--prometheus"))) as system:
        for each in judge(points, system, attested):
            found.append(each)
            if not as_document and not as_page:
                _print(each)
    if as_document:
        print(json.dumps(_document(checklist, found), indent=2))
    elif as_page:
        print(_page(checklist, found))
    else:
        out.print(_sum(found))
    raise typer.Exit(Exit.OK if _fine(found) else Exit.FOUND)


def _fine(found: Sequence[Judged]) -> bool:
    return all(each.verdict.fine for each in found)


def _sum(found: Sequence[Judged]) -> str:
    numbers = Counter(each.verdict for each in found)
    return ", ".join(f"{numbers[verdict]} {verdict}" for verdict in Verdict)


def _print(judged: Judged) -> None:
    verdict, point = judged.verdict, judged.point
    lines = [
        f"[{STYLES[verdict]}]{verdict:<8}[/]  {point.name}: {escape(point.text)} ({_shown(judged.detail)})"
    ]
    lines.append(f"          [dim]evidence: {_shown(judged.evidence)}[/]")
    if judged.remedy:
        lines.append(f"          [bold]Remedy:[/] {_shown(judged.remedy)}")
    out.print("\n".join(lines), soft_wrap=True)


def _shown(text: str) -> str:
    return escape(tame(text).replace("\n", " "))


def _document(checklist: Checklist, found: Sequence[Judged]) -> dict[str, object]:
    return {
        "checklist": checklist,
        "passed": _fine(found),
        "points": [
            {
                "name": each.point.name,
                "text": each.point.text,
                "verdict": each.verdict,
                "detail": each.detail,
                "evidence": each.evidence,
                "remedy": each.remedy,
            }
            for each in found
        ],
    }


def _page(checklist: Checklist, found: Sequence[Judged]) -> str:
    rows = [
        (each.verdict, each.point.name, each.point.text, each.detail, each.evidence, each.remedy)
        for each in found
    ]
    lines = ["| " + " | ".join(map(_cell, row)) + " |" for row in rows]
    head = "| | point | is to be so | seen | evidence | remedy |\n|---|---|---|---|---|---|"
    return f"# {checklist} checklist: {_sum(found)}\n\n{head}\n" + "\n".join(lines)


def _cell(text: str) -> str:
    return tame(text).replace("\n", " ").replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")
