"""`resilience policy`: is a policy file right, and what would it have done?"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, Annotated

import typer
from rich.markup import escape

from resilience_cli.console import EXIT_CODES, Exit, err, out
from resilience_cli.errors import StackError
from resilience_cli.feed import load_policy
from resilience_cli.policy_file import STDIN, Checked, check_policy, sound_policy
from resilience_cli.policy_log import read_file, read_topic, span_of
from resilience_cli.policy_replay import Replay
from resilience_cli.policy_report import as_document, as_text
from resilience_cli.progress import Told, counted
from resilience_cli.target import find_target
from resilience_contracts import Policy, format_time

WARM_UP = timedelta(hours=1)
"""Read before what is asked for, so that levels are settled when counting begins."""
DEFAULT_SINCE = "24h"
TOLD_EVERY = 1000

app = typer.Typer(
    help="Check a policy file, and replay what happened under it.", epilog=EXIT_CODES, no_args_is_help=True
)

AsJson = Annotated[bool, typer.Option("--json", help="One JSON document, for programs.")]


@app.command(epilog=f"Example: resilience policy check policy.yaml. {EXIT_CODES}")
def check(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A policy file; - reads stdin.")],
    as_json: AsJson = False,
) -> None:
    """Check every rule of a policy file; each fault names its line, its key and the rule. Exits with 1 on faults.

    Nothing needs to run. What passes here is what every service accepts.
    """
    checked = check_policy(file)
    if as_json:
        print(json.dumps(_checked(checked), indent=2))
    elif checked.policy is not None:
        out.print(_summary(file, checked.policy), soft_wrap=True, markup=False)
    for fault in () if as_json else checked.faults:
        where = f"{file}:{fault.line}" if fault.line else str(file)
        key = f"[bold]{escape(fault.key)}[/]: " if fault.key else ""
        out.print(f"{escape(where)}: {key}{escape(fault.rule)}", soft_wrap=True)
    raise typer.Exit(Exit.FOUND if checked.faults else Exit.OK)


@app.command(
    epilog="Examples: resilience policy replay --since 6h --policy other.yaml; "
    f"resilience policy replay --save friday.jsonl; resilience policy replay --from friday.jsonl. {EXIT_CODES}"
)
def replay(
    *,
    since: Annotated[
        str | None,
        typer.Option(
            help="How far back to look, as 90m, 24h or 7d, or from which moment on, as 2026-03-01T12:00:00Z. "
            f"{DEFAULT_SINCE} by default; a file is replayed whole."
        ),
    ] = None,
    policy: Annotated[
        Path | None, typer.Option(help="Another policy file, shown beside the one in force.")
    ] = None,
    source: Annotated[
        Path | None,
        typer.Option("--from", help="Read a file that --save wrote instead of Kafka; - reads stdin."),
    ] = None,
    save: Annotated[
        Path | None, typer.Option(help="Also write the events to a file, one CloudEvent a line.")
    ] = None,
    scope: Annotated[str | None, typer.Option(help="Look at one scope alone.")] = None,
    changes: Annotated[int, typer.Option(min=0, help="How many of the last changes to list.")] = 20,
    as_json: AsJson = False,
) -> None:
    """Show what levels a policy would have given to what was really observed.

    Reads the health topic, or a file, through the engine itself: how many changes, how long at each level, which
    features were lost and for how long, and each change with its cause. Changes nothing; operators' holds are
    left out. The policy in force is RESILIENCE_POLICY_FILE's, else the default.
    """
    begin = _begin(since, source)
    policies = {"current": load_policy()}
    if policy is not None:
        policies[policy.name if policy.name != "current" else str(policy)] = sound_policy(policy)
    now = datetime.now(UTC)
    with _saving(save) as copy, _progress() as told:
        if source is None:
            told_from = begin or now - span_of(DEFAULT_SINCE)
            run = Replay(policies, begin=told_from, end=now, scope=scope, kept=changes, save=copy)
            asyncio.run(read_topic(find_target().kafka, told_from - WARM_UP, run, told))
        else:
            run = Replay(policies, begin=begin, scope=scope, kept=changes, save=copy)
            read_file(source, run, told)
        _refuse_nothing(run, source, scope)
    _show(run, save, as_json)


def _begin(since: str | None, source: Path | None) -> datetime | None:
    if since is None:
        return None
    try:
        moment = datetime.fromisoformat(since)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    if source is not None:
        raise typer.BadParameter(
            "with --from, name a moment such as 2026-03-01T12:00:00Z", param_hint="--since"
        )
    try:
        return datetime.now(UTC) - span_of(since)
    except (ValueError, OverflowError):
        raise typer.BadParameter(
            f"{since!r} is neither a length such as 90m, 24h or 7d nor a moment such as 2026-03-01T12:00:00Z",
            param_hint="--since",
        ) from None


@contextmanager
def _saving(path: Path | None) -> Iterator[IO[bytes] | None]:
    """Give a file that appears under its name once everything is in it."""
    if path is None:
        yield None
        return
    fresh = path.with_name(f".{path.name}.new")
    try:
        with fresh.open("wb") as file:
            yield file
        fresh.replace(path)
    except OSError as error:
        raise StackError(
            f"{path} cannot be written ({error.strerror})", "name another file with --save"
        ) from error
    finally:
        fresh.unlink(missing_ok=True)


@contextmanager
def _progress() -> Iterator[Told]:
    """Show how far a long replay is, where somebody looks."""
    calls = 0
    with counted("replaying") as show:

        def told(done: int, total: int | None) -> None:
            nonlocal calls
            calls += 1
            if calls % TOLD_EVERY == 0:
                show(done, total)

        yield told


def _refuse_nothing(run: Replay, source: Path | None, scope: str | None) -> None:
    if run.events:
        return
    where = f"in {source}" if source else "in the topic for that time"
    of = f" of scope {scope}" if scope else ""
    first = f"; {run.skipped} records were none, the first: {run.skips[0]}" if run.skips else ""
    remedy = (
        "name a file that `resilience policy replay --save FILE` wrote"
        if source
        else "widen --since, or see with `resilience tail health` whether a monitor reports"
    )
    raise StackError(f"there is no health event{of} {where}{first}", remedy)


def _show(run: Replay, save: Path | None, as_json: bool) -> None:
    if as_json:
        print(json.dumps(as_document(run), indent=2))
    else:
        out.print(as_text(run))
    if save is not None and run.begin is not None:
        err.print(
            f"{run.events:,} events saved; again with: resilience policy replay --from {escape(str(save))} "
            f"--since {format_time(run.begin)}",
            soft_wrap=True,
        )


def _checked(checked: Checked) -> dict[str, object]:
    return {
        "valid": checked.policy is not None,
        "sha256": checked.policy.sha256 if checked.policy else None,
        "faults": [asdict(fault) for fault in checked.faults],
    }


def _summary(file: Path, policy: Policy) -> str:
    name = "the policy" if file == STDIN else str(file)
    weights = ", ".join(f"{name} {weight}" for name, weight in policy.weights.items())
    return (
        f"{name} is valid: {len(policy.dependencies)} dependencies ({weights}), "
        f"{len(policy.features)} features, sha256 {policy.sha256}"
    )
