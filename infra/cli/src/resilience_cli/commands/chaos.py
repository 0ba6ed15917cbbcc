"""`resilience chaos`: real faults in the running stack."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from resilience_cli.console import EXIT_CODES, Exit, out
from resilience_cli.stack import PARTS, STANDBY, pause_part, restore_part, stop_part
from resilience_cli.stack.layout import FURTHER_BROKERS
from resilience_cli.target import stack_root


def _known(part: str) -> str:
    known = (*PARTS, STANDBY, *FURTHER_BROKERS)
    if part not in known:
        raise typer.BadParameter(f"{part} is no part; parts are {', '.join(known)}")
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


@app.command(
    epilog="Examples: resilience chaos run --list; resilience chaos run redis-kill openai-429. "
    f"Exits with 1 when something was not as declared. {EXIT_CODES}"
)
def run(
    *,
    names: Annotated[
        list[str] | None, typer.Argument(metavar="NAME", help="Experiments by name; all without one.")
    ] = None,
    table: Annotated[
        Path | None,
        typer.Option(help="A table of your own instead of the one that ships (docs/guide/chaos.md)."),
    ] = None,
    to: Annotated[
        Path | None, typer.Option(help="Where the reports go; `reports` in the stack's directory otherwise.")
    ] = None,
    listed: Annotated[bool, typer.Option("--list", help="Only say which experiments there are.")] = False,
    as_json: AsJson = False,
) -> None:
    """Run experiments in the running stack: break, look at level, features and promises, mend, report.

    Each looks at the steady state before and after. A report in HTML and Markdown with a timeline of each is kept.
    Faults of the network need a stack that was started with `resilience up --proxies`.
    """
    # Chaos Toolkit takes as long to load as everything else together, which every other command would pay.
    from resilience_chaos.show import show_list, show_run  # noqa: PLC0415
    from resilience_chaos.table import SHIPPED, load_table  # noqa: PLC0415

    rows = load_table(table or SHIPPED).chosen(names or ())
    if listed:
        show_list(rows, as_json=as_json)
        return
    root = stack_root()
    if not show_run(rows, root, to or root / "reports", as_json=as_json):
        raise typer.Exit(Exit.FOUND)


def _tell(part: str, done: str, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"part": part, "done": done}))
    else:
        out.print(done, soft_wrap=True)
