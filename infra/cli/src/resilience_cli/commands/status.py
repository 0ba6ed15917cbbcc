"""`resilience status` and `resilience watch`: level, dependencies and features."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine
from contextlib import AsyncExitStack, suppress
from datetime import UTC, datetime
from typing import Annotated, Any, NoReturn

import typer
from rich.live import Live

from resilience_cli.changes import RecentChanges, followed_changes
from resilience_cli.console import Exit, out
from resilience_cli.feed import followed
from resilience_cli.picture import as_json, as_text
from resilience_cli.target import Target, find_target, parts_of
from resilience_contracts import View

REFRESH_S = 0.25

AsJson = Annotated[bool, typer.Option("--json", help="One JSON document, for programs.")]
AsLines = Annotated[bool, typer.Option("--json", help="One JSON document a line, at each change.")]
Scope = Annotated[str | None, typer.Option(help="Which scope; RESILIENCE_SCOPE or `default` otherwise.")]


def status(as_document: AsJson = False, scope: Scope = None) -> None:
    """Show the level, the dependencies, the features and the parts.

    Read from Kafka, so that it works whatever service is down. Exits with 1 when no level is known or when
    the one that is known is stale.
    """
    raise typer.Exit(run(_status(find_target(), scope, as_document)))


def watch(scope: Scope = None, as_lines: AsLines = False) -> None:
    """Show the same live, with the last changes of level, until Ctrl-C."""
    with suppress(KeyboardInterrupt):
        run(_watch(find_target(), scope, as_lines))


def run(work: Coroutine[Any, Any, Any]) -> Any:
    """Run a command's coroutine."""
    return asyncio.run(work)


async def _status(target: Target, scope: str | None, as_document: bool) -> Exit:
    wanted = scope or target.scope
    async with followed(target.kafka, target.regions) as view:
        now = datetime.now(UTC)
        if as_document:
            print(json.dumps(as_json(view, wanted, now, parts_of(target)), indent=2))
        else:
            out.print(as_text(view, wanted, now, parts_of(target)))
        level = view.level(wanted, now)
    return Exit.OK if level and not level.stale else Exit.FOUND


async def _watch(target: Target, scope: str | None, as_lines: bool) -> None:
    wanted = scope or target.scope
    async with AsyncExitStack() as stack:
        view = await stack.enter_async_context(followed(target.kafka, target.regions))
        changes = await stack.enter_async_context(followed_changes(target.kafka))
        if as_lines:
            await _stream(view, changes, wanted)
        live = stack.enter_context(Live(console=out, auto_refresh=False, screen=out.is_terminal))
        while True:
            now, parts = datetime.now(UTC), parts_of(find_target())
            live.update(as_text(view, wanted, now, parts, changes.newest(wanted)), refresh=True)
            await asyncio.sleep(REFRESH_S)


async def _stream(view: View, changes: RecentChanges, scope: str) -> NoReturn:
    told: dict[str, Any] = {}
    while True:
        now = datetime.now(UTC)
        newest = [change.model_dump(mode="json") for change in changes.newest(scope)]
        document = as_json(view, scope, now, parts_of(find_target())) | {"changes": newest}
        if document != told:
            print(json.dumps({"at": now.isoformat(timespec="milliseconds"), **document}), flush=True)
            told = document
        await asyncio.sleep(REFRESH_S)
