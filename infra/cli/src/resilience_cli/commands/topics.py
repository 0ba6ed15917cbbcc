"""`resilience topics`: make Kafka's topics what infra/kafka/topics.yaml declares, or report what differs."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

import typer

from resilience_cli.console import EXIT_CODES, Exit, out
from resilience_cli.target import find_target
from resilience_cli.topics import apply_declared, drift_of_declared
from resilience_runtime.kafka.admin import Drift

app = typer.Typer(
    help="Kafka's topics, as infra/kafka/topics.yaml declares them.", epilog=EXIT_CODES, no_args_is_help=True
)

AsJson = Annotated[bool, typer.Option("--json", help="One JSON document, for programs.")]


@app.command(epilog=EXIT_CODES)
def apply(
    replication: Annotated[int, typer.Option(min=1, help="Replicas of a topic that is created.")] = 1,
    as_document: AsJson = False,
) -> None:
    """Create what is missing, correct what differs. A second call does nothing."""
    target = find_target()
    done = apply_declared(target.kafka, replication, target.regions)
    _show(done, as_document, "applied", "Every topic is as declared")


@app.command(epilog=EXIT_CODES)
def check(as_document: AsJson = False) -> None:
    """Report what differs from the declaration; exits with 1 when something does."""
    target = find_target()
    drift = drift_of_declared(target.kafka, target.regions)
    _show(drift, as_document, "drift", "Every topic is as declared")
    raise typer.Exit(Exit.FOUND if drift else Exit.OK)


def _show(drift: list[Drift], as_document: bool, name: str, nothing: str) -> None:
    if as_document:
        print(json.dumps({name: [asdict(each) for each in drift]}, indent=2))
        return
    for each in drift:
        out.print(f"{name}: {each}", markup=False, soft_wrap=True)
    if not drift:
        out.print(nothing)
