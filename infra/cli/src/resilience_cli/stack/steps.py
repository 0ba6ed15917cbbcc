"""Things to do, each as soon as what it needs is done, as many at once as there are."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from resilience_cli.errors import StackError


@dataclass(frozen=True, slots=True)
class Step:
    """Something to do, and the names of the steps that come before it."""

    act: Callable[[], object]
    needs: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Done:
    """A step that is over. `error` is None when it went well."""

    name: str
    took_s: float
    error: StackError | None


def run_steps(
    steps: Mapping[str, Step], done: Callable[[Done], None], cancelled: Callable[[], bool]
) -> StackError | None:
    """Do everything; return the first error, after which nothing new is begun.

    Args:
        steps: by name; a need that is not among them counts as done.
        done: told of each step that was begun and is over.
        cancelled: asked before each step is begun.
    """
    over = {name: threading.Event() for name in steps}
    failed: list[StackError] = []

    def work(name: str, step: Step) -> None:
        for need in step.needs:
            if need in over:
                over[need].wait()
        try:
            if not failed and not cancelled():
                result = _attempt(name, step)
                if result.error:
                    failed.append(result.error)
                done(result)
        finally:
            over[name].set()

    with ThreadPoolExecutor(max(1, len(steps))) as pool:
        for future in [pool.submit(work, *each) for each in steps.items()]:
            future.result()
    return failed[0] if failed else None


def _attempt(name: str, step: Step) -> Done:
    began = time.monotonic()
    try:
        step.act()
    except StackError as error:
        return Done(name, time.monotonic() - began, error)
    return Done(name, time.monotonic() - began, None)
