"""`resilience doctor`: what is wrong with this machine or this stack."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from typing import Annotated

import typer
from rich.markup import escape

from resilience_cli.console import Exit, out
from resilience_cli.doctor import Finding, Verdict, examine
from resilience_cli.stack import ports_from
from resilience_cli.target import stack_root

STYLES = {Verdict.OK: "green", Verdict.NOTE: "yellow", Verdict.FAIL: "bold red"}


def doctor(
    as_document: Annotated[bool, typer.Option("--json", help="One JSON document, for programs.")] = False,
) -> None:
    """Look at Java, jars, binaries, disk, memory, ports and the stack's own files; each fault has its remedy.

    Exits with 1 when something would keep the stack from starting.
    """
    findings: list[Finding] = []
    for finding in examine(stack_root(), ports_from(os.environ)):
        findings.append(finding)
        if not as_document:
            _print(finding)
    if as_document:
        print(json.dumps([asdict(finding) for finding in findings], indent=2))
    wrong = any(finding.verdict is Verdict.FAIL for finding in findings)
    raise typer.Exit(Exit.FOUND if wrong else Exit.OK)


def _print(finding: Finding) -> None:
    style = STYLES[finding.verdict]
    line = f"[{style}]{finding.verdict:<4}[/]  {finding.subject:<16} {escape(finding.detail)}"
    out.print(
        line + (f". [bold]Remedy:[/] {escape(finding.remedy)}" if finding.remedy else ""), soft_wrap=True
    )
