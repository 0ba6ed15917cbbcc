"""`resilience smoke`: does the running system work?"""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from typing import Annotated

import typer
from rich.markup import escape

from resilience_cli.console import Exit, out
from resilience_cli.holds_api import KEY_VARIABLE
from resilience_cli.smoke import Result, Smoke
from resilience_cli.target import find_target


def smoke(
    as_document: Annotated[bool, typer.Option("--json", help="One JSON document, for programs.")] = False,
) -> None:
    """Prove that the running system works: receive, read and reserve stock, compare levels, evaluate a flag.

    RESILIENCE_API_KEY is used where a key is asked for. Prints PASS or FAIL for each check; exits with 1 when one fails.
    """
    target = find_target()
    results: list[Result] = []
    key = os.environ.get(KEY_VARIABLE)
    for result in Smoke(target.url("inventory-api"), target.url("flag-service"), target.scope, key).run():
        results.append(result)
        if not as_document:
            verdict = "[green]PASS[/]" if result.passed else "[bold red]FAIL[/]"
            out.print(
                f"{verdict}  {result.name}  ({escape(result.detail)}, {result.took_s:.2f} s)", soft_wrap=True
            )
    passed = all(result.passed for result in results)
    if as_document:
        print(json.dumps({"passed": passed, "checks": [asdict(result) for result in results]}, indent=2))
    raise typer.Exit(Exit.OK if passed else Exit.FOUND)
