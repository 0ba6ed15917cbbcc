"""`resilience rollout gate`: may a roll-out go on?"""

from __future__ import annotations

import json
import time
from datetime import timedelta
from typing import Annotated

import typer

from resilience_cli.console import EXIT_CODES, Exit, out
from resilience_cli.durations import parse_duration, spoken
from resilience_cli.rollout_gate import Gate, unfit
from resilience_cli.rollout_reading import Reader, checked_url
from resilience_cli.target import LOOPBACK_URL, Target, find_target

EVERY_S = 2.0

app = typer.Typer(help="Roll a version out, watched.", no_args_is_help=True, epilog=EXIT_CODES)


@app.callback()
def rollout() -> None:
    """Roll a version out, watched."""


@app.command(epilog=EXIT_CODES)
def gate(
    lasts: Annotated[
        timedelta, typer.Option("--for", parser=parse_duration, help="How long nothing may get worse: 10m.")
    ],
    metrics: Annotated[
        list[str] | None,
        typer.Option(
            help="Metrics of a replica of inventory-api; repeat it for each. The local one otherwise."
        ),
    ] = None,
    scope: Annotated[str | None, typer.Option(help="RESILIENCE_SCOPE or `default` otherwise.")] = None,
    allow_degraded: Annotated[
        bool,
        typer.Option(
            "--allow-degraded",
            help="Begin although the level is not OPTIMAL or an audit finds something, as for a version that mends it.",
        ),
    ] = False,
    as_document: Annotated[bool, typer.Option("--json", help="One JSON document, for programs.")] = False,
) -> None:
    """Watch level, error budget and audits after a new version came; exit with 1 as soon as one is worse.

    Compares with the moment at which it is started, so start it before the first new replica. Does not begin, and exits
    with 1 too, when the system is not well already.
    """
    target = find_target()
    urls = [checked_url(url, "--metrics") for url in metrics or [_local(target)]]
    with Reader(target.url("flag-service"), urls, scope or target.scope) as reader:
        first = reader.first()
        began_s, judge = time.monotonic(), Gate(first)
        obstacle = None if allow_degraded else unfit(first)
        reason = obstacle or _watched(reader, judge, began_s + lasts.total_seconds())
    took = timedelta(seconds=time.monotonic() - began_s)
    if as_document:
        print(json.dumps({"begun": obstacle is None} | _document(judge, reason, took), indent=2))
    elif obstacle:
        _say_unfit(obstacle)
    else:
        _say(judge, reason, took)
    raise typer.Exit(Exit.FOUND if reason else Exit.OK)


def _local(target: Target) -> str:
    return f"{LOOPBACK_URL}:{target.ports['inventory-api-metrics']}/metrics"


def _watched(reader: Reader, judge: Gate, until_s: float) -> str | None:
    while True:
        time.sleep(max(0.0, min(EVERY_S, until_s - time.monotonic())))
        if reason := judge.worse(reader.read()):
            return reason
        if time.monotonic() >= until_s:
            return None


def _document(judge: Gate, reason: str | None, took: timedelta) -> dict[str, object]:
    return {
        "passed": reason is None,
        "reason": reason,
        "watched_s": round(took.total_seconds(), 1),
        "level": judge.level.name if judge.level is not None else None,
        "requests": judge.requests.total,
        "failed": judge.requests.failed,
        "burn": round(judge.requests.burn, 2),
    }


def _say_unfit(obstacle: str) -> None:
    remedy = "mend that first, or judge by what gets worse from here with --allow-degraded"
    out.print(
        f"[bold red]STOP[/]  not a state to roll out in: {obstacle}. [bold]Remedy:[/] {remedy}",
        soft_wrap=True,
    )


def _say(judge: Gate, reason: str | None, took: timedelta) -> None:
    seen = f"{judge.requests.total:.0f} requests, {judge.requests.failed:.0f} failed"
    if reason:
        out.print(f"[bold red]STOP[/]  after {spoken(took)}: {reason} ({seen})", soft_wrap=True)
    else:
        out.print(f"[green]GO[/]  nothing got worse in {spoken(took)} ({seen})", soft_wrap=True)
