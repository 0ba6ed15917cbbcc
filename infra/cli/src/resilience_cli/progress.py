"""How far something is: one line for each thing that `up` starts, a bar for what is counted."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self

from rich.live import Live
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.spinner import Spinner

from .console import err
from .errors import StackError
from .logs import print_tail
from .stack import Done

Told = Callable[[int, int | None], None]
"""Is told of progress: how much is done, and of how much, where that is known."""


@contextmanager
def counted(what: str) -> Iterator[Told]:
    """Show how far a long count is, where somebody looks."""
    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as progress:
        task = progress.add_task("", total=None)
        yield lambda done, of: progress.update(task, completed=done, total=of)


class StepLines:
    """Prints a line when a step is over, above a clock that shows that something goes on."""

    def __init__(self) -> None:
        self._live = Live(Spinner("dots", "starting"), console=err, transient=True)

    def __enter__(self) -> Self:
        if err.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def done(self, step: Done) -> None:
        """Print how a step ended; after a failure also what the part wrote last."""
        if step.error is None:
            err.print(f"  [green]✓[/] {step.name:<20} {step.took_s:5.1f} s")
            return
        err.print(
            f"  [red]✗[/] {step.name:<20} {step.took_s:5.1f} s  {escape(step.error.message)}", soft_wrap=True
        )
        print_tail(step.name, step.error.evidence)

    def attempt(self, name: str, act: Callable[[], None]) -> None:
        """Do something that the stack can do without."""
        began = time.monotonic()
        try:
            act()
        except StackError as error:
            err.print(f"  [yellow]![/] {name:<20}         {escape(str(error))}", soft_wrap=True)
        else:
            err.print(f"  [green]✓[/] {name:<20} {time.monotonic() - began:5.1f} s")
