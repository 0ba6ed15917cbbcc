"""One line for each thing that `up` starts, with the time it took."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from rich.live import Live
from rich.markup import escape
from rich.spinner import Spinner

from .console import err
from .errors import StackError
from .logs import print_tail
from .stack import Done


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
