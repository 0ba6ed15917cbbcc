"""`resilience hold`: pin a feature, a flag or the level for a while, and give it back to automation."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from resilience_cli.console import EXIT_CODES, Exit, err, out, tame
from resilience_cli.durations import parse_duration, spoken
from resilience_cli.errors import StackError
from resilience_cli.feed import load_policy
from resilience_cli.holds_api import HeldError, Hold, HoldsApi, Wanted, tag_of
from resilience_cli.target import find_target
from resilience_contracts import LEVEL_TARGET, FeatureState, Level

app = typer.Typer(
    help="Hold a feature, a flag or the level for a while: with a reason, under a name, and never for good. "
    "Changes need a key with the scope `write`: RESILIENCE_API_KEY, else the operator's of the stack here.",
    epilog=EXIT_CODES,
    no_args_is_help=True,
)

HELD_EPILOG = f"{EXIT_CODES} A hold that is in the way is 1."
PINS = (*FeatureState.__members__, *Level.__members__)


def _targets(incomplete: str) -> list[str]:
    policy = load_policy()
    return [name for name in (LEVEL_TARGET, *policy.features, *policy.flags) if name.startswith(incomplete)]


def _pins(incomplete: str) -> list[str]:
    return [name for name in PINS if name.startswith(incomplete.upper())]


Target = Annotated[
    str, typer.Argument(help="A feature, a flag of the policy, or `level`.", autocompletion=_targets)
]
Reason = Annotated[
    str, typer.Option(help="Why; ten characters at least. The audit log and the console show it.")
]
Lasts = Annotated[
    timedelta,
    typer.Option(
        "--for", parser=parse_duration, metavar="LENGTH", help="How long from now: 15m, 1h30m; 24 h at most."
    ),
]
Scope = Annotated[str | None, typer.Option(help="Which scope; RESILIENCE_SCOPE or `default` otherwise.")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON document, for programs.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would change, and change nothing.")]


@app.command("set", epilog=f"Example: resilience hold set integrations.ai_assistant DISABLED --for 1h "
             f"--reason 'it invents prices'. {HELD_EPILOG}")  # fmt: skip
def set_hold(
    *,
    target: Target,
    pin: Annotated[
        str,
        typer.Argument(
            metavar="STATE|LEVEL",
            help=f"{', '.join(PINS)}: a level for `level`, else a state.",
            autocompletion=_pins,
        ),
    ],
    reason: Reason,
    lasts: Lasts,
    scope: Scope = None,
    allow_better: Annotated[bool, typer.Option(help="Let it be better than automation would allow.")] = False,
    override: Annotated[
        str | None,
        typer.Option(metavar="HOLD.VERSION", help="Replace the hold in force, if it is still this one."),
    ] = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Set a hold. One that is in force already is shown and not replaced, unless --override names it."""
    target_system = find_target()
    wanted = Wanted(scope or target_system.scope, target, _pin(target, pin), allow_better)
    with HoldsApi(target_system) as api:
        if dry_run:
            _preview(api, wanted, as_json=as_json)
            return
        try:
            hold = api.put(wanted, reason, lasts, override)
        except HeldError as error:
            raise _in_the_way(error, as_json=as_json) from error
    _show_one(hold, "held", as_json=as_json)


@app.command(epilog=HELD_EPILOG)
def extend(
    *,
    target: Target,
    lasts: Lasts,
    reason: Annotated[str | None, typer.Option(help="Why it lasts longer; else the reason stays.")] = None,
    scope: Scope = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Let the hold in force end later. Exits with 1 when nothing is held."""
    target_system = find_target()
    with HoldsApi(target_system) as api:
        hold = _held(api, scope or target_system.scope, target)
        ends = datetime.now(UTC) + lasts
        if ends <= _time(hold["expires_at"]):
            left = spoken(_time(hold["expires_at"]) - datetime.now(UTC))
            raise StackError(
                f"the hold on {target} lasts {left} already", "give a longer --for, or `hold end`"
            )
        if dry_run:
            _show_one({**hold, "expires_at": ends.isoformat()}, "would be held", as_json=as_json)
            return
        pin = {key: hold[key] for key in ("state", "level") if hold[key]}
        wanted = Wanted(hold["scope"], target, pin, hold["allow_better"])
        try:
            later = api.put(wanted, reason or hold["reason"], lasts, tag_of(hold))
        except HeldError as error:
            raise _in_the_way(error, as_json=as_json) from error
    _show_one(later, "held", as_json=as_json)


@app.command(epilog=HELD_EPILOG)
def end(
    *,
    target: Target,
    reason: Reason,
    scope: Scope = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """End the hold in force now: automation decides again. Exits with 1 when nothing is held."""
    target_system = find_target()
    with HoldsApi(target_system) as api:
        hold = _held(api, scope or target_system.scope, target)
        if dry_run:
            _show_one(hold, "would be ended", as_json=as_json)
            return
        try:
            api.end(hold, reason)
        except HeldError as error:
            raise _in_the_way(error, as_json=as_json) from error
    _show_one(hold, "ended", as_json=as_json)


@app.command("list", epilog=EXIT_CODES)
def list_holds(scope: Scope = None, as_json: AsJson = False) -> None:
    """Show the holds in force, of every scope unless one is named."""
    with HoldsApi(find_target()) as api:
        holds = api.all(scope)
    if as_json:
        print(json.dumps({"holds": holds}, indent=2))
        return
    if not holds:
        out.print("Nothing is held: automation decides.")
        return
    table = Table(box=None, header_style="bold dim", padding=(0, 2, 0, 0))
    for column in ("scope", "target", "held", "for", "actor", "reason"):
        table.add_column(column, no_wrap=column in {"target", "held", "for"})
    now = datetime.now(UTC)
    for hold in holds:
        left = spoken(_time(hold["expires_at"]) - now)
        table.add_row(*(_plain(hold[key]) for key in ("scope", "target")), _pinned(hold), left,
                      _plain(hold["actor"]), _plain(hold["reason"]))  # fmt: skip
    out.print(table)


def _pin(target: str, pin: str) -> Mapping[str, str]:
    name = pin.upper()
    of_level = target == LEVEL_TARGET
    known = Level.__members__ if of_level else FeatureState.__members__
    if name not in known:
        raise typer.BadParameter(f"{target} takes one of {', '.join(known)}", param_hint="STATE|LEVEL")
    return {"level" if of_level else "state": name}


def _held(api: HoldsApi, scope: str, target: str) -> Hold:
    hold = api.find(scope, target)
    if hold is None:
        err.print(f"Nothing holds {target} in scope {scope}.", markup=False, soft_wrap=True)
        raise typer.Exit(Exit.FOUND)
    return hold


def _preview(api: HoldsApi, wanted: Wanted, *, as_json: bool) -> None:
    found = api.preview(wanted)
    held = api.find(wanted.scope, wanted.target)
    if as_json:
        print(json.dumps({**found, "replaces": held}, indent=2))
        return
    for effect in found["effects"]:
        out.print(f"{effect['key']}: {effect['before']} -> {effect['after']}", markup=False)
    if not found["effects"]:
        out.print("No feature would change.")
    out.print(f"{found['streams']} open event streams would hear of it.")
    if held:
        out.print(_who(held) + f" It would need --override {tag_of(held)}.", markup=False, soft_wrap=True)


def _in_the_way(error: HeldError, *, as_json: bool) -> typer.Exit:
    if as_json:
        print(json.dumps({"conflict": {"current": error.current, "difference": error.difference}}, indent=2))
    elif error.current is None:
        err.print("The hold is over already; set it anew without --override.")
    else:
        err.print(_who(error.current), markup=False, soft_wrap=True)
        for name, values in error.difference.items():
            line = f"  {name}: {values.get('current')} -> {values.get('proposed')}"
            err.print(tame(line), markup=False, soft_wrap=True)
        err.print(
            f"To replace it: the same command with --override {tag_of(error.current)}",
            markup=False,
            soft_wrap=True,
        )
    return typer.Exit(Exit.FOUND)


def _show_one(hold: Hold, done: str, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"done": done, "hold": hold}, indent=2))
        return
    until = f"{_time(hold['expires_at']):%Y-%m-%d %H:%M:%S} UTC"
    line = f"{hold['target']} in scope {hold['scope']} {done}: {_pinned(hold)} until {until}, hold {tag_of(hold)}"
    out.print(tame(line), markup=False, soft_wrap=True)


def _who(hold: Hold) -> str:
    until = f"{_time(hold['expires_at']):%H:%M:%S} UTC"
    return tame(f"{hold['actor']} holds it at {_pinned(hold)} until {until}: {hold['reason']}")


def _pinned(hold: Hold) -> str:
    return str(hold["level"] or hold["state"])


def _plain(text: Any) -> str:
    return escape(tame(str(text)).replace("\n", " "))


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)
