"""`resilience acls`: make Kafka's permissions what infra/kafka/acls.yaml declares, or report what differs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Annotated

import typer

from resilience_cli.acls import apply_declared_acls, drift_of_acls
from resilience_cli.console import EXIT_CODES, Exit, out
from resilience_cli.target import find_target
from resilience_runtime.kafka.acls import Acl

app = typer.Typer(
    help="Who may do what in Kafka, as infra/kafka/acls.yaml declares it.",
    epilog=EXIT_CODES,
    no_args_is_help=True,
)

AsJson = Annotated[bool, typer.Option("--json", help="One JSON document, for programs.")]


@app.command(epilog=EXIT_CODES)
def apply(as_document: AsJson = False) -> None:
    """Give what is missing, take what declared principals have beyond it. A second call does nothing.

    What others may do stays: `check` reports it.
    """
    was = apply_declared_acls(find_target().kafka)
    _show({"given": was.missing, "taken": was.extra}, as_document)


@app.command(epilog=EXIT_CODES)
def check(as_document: AsJson = False) -> None:
    """Report what differs from the declaration, also what others may do to our topics; exits with 1 then."""
    drift = drift_of_acls(find_target().kafka)
    _show({"missing": drift.missing, "extra": drift.extra, "foreign": drift.foreign}, as_document)
    raise typer.Exit(Exit.FOUND if drift else Exit.OK)


def _show(found: Mapping[str, Sequence[Acl]], as_document: bool) -> None:
    if as_document:
        print(json.dumps({name: [str(acl) for acl in acls] for name, acls in found.items()}, indent=2))
        return
    for name, acls in found.items():
        for acl in acls:
            out.print(f"{name}: {acl}", markup=False, soft_wrap=True)
    if not any(found.values()):
        out.print("Every permission is as declared")
