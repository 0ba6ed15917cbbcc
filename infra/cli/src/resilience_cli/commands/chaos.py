"""`resilience chaos`: real faults in the running stack."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from resilience_cli.console import EXIT_CODES, out
from resilience_cli.stack import PARTS, pause_part, restore_part, stop_part
from resilience_cli.target import stack_root


def _known(part: str) -> str:
    if part not in PARTS:
        raise typer.BadParameter(f"{part} is no part; parts are {', '.join(PARTS)}")
    return part


PartArgument = Annotated[
    str, typer.Argument(metavar="PART", help=f"One of {', '.join(PARTS)}.", callback=_known)
]

AsJson = Annotated[bool, typer.Option("--json", help="One JSON document, for programs.")]

app = typer.Typer(
    help="Break a part of the running stack for real, and mend it.", epilog=EXIT_CODES, no_args_is_help=True
)


@app.command(epilog=EXIT_CODES)
def stop(
    part: PartArgument,
    graceful: Annotated[bool, typer.Option("--graceful", help="SIGTERM instead of SIGKILL.")] = False,
    as_json: AsJson = False,
) -> None:
    """Kill a part with all its processes (SIGKILL); it stays down until `chaos restore`."""
    _tell(part, stop_part(stack_root(), part, graceful=graceful), as_json=as_json)


@app.command(epilog=EXIT_CODES)
def pause(part: PartArgument, as_json: AsJson = False) -> None:
    """Freeze a part with all its processes (SIGSTOP): it accepts connections and never answers."""
    _tell(part, pause_part(stack_root(), part), as_json=as_json)


@app.command(epilog=EXIT_CODES)
def restore(part: PartArgument, as_json: AsJson = False) -> None:
    """Let a frozen part go on, or start a stopped one again; returns when it answers."""
    _tell(part, restore_part(stack_root(), part), as_json=as_json)


def _tell(part: str, done: str, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"part": part, "done": done}))
    else:
        out.print(done, soft_wrap=True)
