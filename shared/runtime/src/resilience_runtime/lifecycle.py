"""One process: its event loop, its signals, its tasks, its end."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import gc
import os
import signal
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from typing import Any, NoReturn

import structlog
import uvloop

from .errors import StartupError
from .settings import EXIT_SETTINGS

EXIT_STOPPED = 0
EXIT_CRASHED = 1
STOP_DEADLINE_S = 8.0
CLOSE_DEADLINE_S = 3.0
SIGNALS = (signal.SIGTERM, signal.SIGINT)
COLLECT_EVERY = 10_000
"""Objects made and not gone again between two collections; Python's 700 suits a script."""

log = structlog.get_logger(__name__)


async def run(*tasks: Coroutine[Any, Any, None], stop_deadline_s: float = STOP_DEADLINE_S) -> int:
    """Run tasks side by side until SIGTERM or SIGINT, or until one raises; then cancel the rest and wait.

    Returns 0 when stopped by a signal or when every task has returned, 1 when one raised, 2 when one raised
    `StartupError`. A task that does not end within `stop_deadline_s` of being cancelled ends the process.
    """
    with _stop_event() as stop:
        running = [asyncio.create_task(task, name=getattr(task, "__qualname__", None)) for task in tasks]
        watcher = asyncio.create_task(stop.wait(), name="signal watcher")
        try:
            await _until_one_fails_or_stop(running, watcher)
        finally:
            watcher.cancel()
            await _stop(running, stop_deadline_s)
        return _exit_code(running)


async def _until_one_fails_or_stop(running: list[asyncio.Task[None]], watcher: asyncio.Task[bool]) -> None:
    pending: set[asyncio.Task[Any]] = {*running}
    while pending:
        done, _ = await asyncio.wait({*pending, watcher}, return_when=asyncio.FIRST_COMPLETED)
        if watcher in done or any(task.cancelled() or task.exception() for task in done):
            return
        pending -= done


async def _stop(running: list[asyncio.Task[None]], deadline_s: float) -> None:
    for task in running:
        task.cancel()
    if not running:
        return
    _, overdue = await asyncio.wait(running, timeout=deadline_s)
    if overdue:
        log.error(
            "stop deadline passed", tasks=sorted(task.get_name() for task in overdue), deadline_s=deadline_s
        )
        os._exit(EXIT_CRASHED)


def _exit_code(running: list[asyncio.Task[None]]) -> int:
    code = EXIT_STOPPED
    for task in running:
        error = None if task.cancelled() else task.exception()
        if error is not None:
            code = max(code, report(error, task.get_name()))
    return code


def report(error: BaseException, where: str) -> int:
    """Log an error that ends the process, and return the exit code it calls for."""
    if isinstance(error, StartupError):
        log.error("cannot start", reason=str(error))
        return EXIT_SETTINGS
    log.error("crashed", where=where, exc_info=error)
    return EXIT_CRASHED


@contextlib.contextmanager
def _stop_event() -> Iterator[asyncio.Event]:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def on_signal(number: signal.Signals) -> None:
        log.info("stopping", signal=number.name)
        stop.set()

    for number in SIGNALS:
        loop.add_signal_handler(number, on_signal, number)
    try:
        yield stop
    finally:
        for number in SIGNALS:
            loop.remove_signal_handler(number)


def collect_seldom() -> None:
    """Make garbage collections rare and short: in each, nothing is answered.

    What is imported by now lasts as long as the process and is left out: a full collection would walk it for some
    100 ms. Of what comes later nearly all goes by itself, without a cycle, so that one need not look often.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECT_EVERY)


def give_back() -> None:
    """Return to the system what reading and compiling modules has left free: an eighth of a service's memory."""
    with contextlib.suppress(OSError, AttributeError):  # a C library without it
        ctypes.CDLL(None).malloc_trim(0)


def run_service(main: Callable[[], Coroutine[Any, Any, int]]) -> NoReturn:
    """Run a service's main on uvloop and leave the process with the code that it returns.

    An exception of `main` is logged once and is code 1 (`StartupError`: one line, code 2). Threads that hang
    at the end hold the process for three seconds at most, and what cannot be closed is left as it is.
    """
    collect_seldom()
    give_back()
    code = EXIT_CRASHED
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            code = runner.run(_guarded(main))
            timer = threading.Timer(CLOSE_DEADLINE_S, os._exit, (code,))
            timer.daemon = True
            timer.start()
    except RuntimeError as error:  # Python's word for no memory for another thread, which closing takes
        log.error("cannot close", reason=str(error))  # noqa: TRY400 - the reason is all there is
        os._exit(code)
    raise SystemExit(code)


async def _guarded(main: Callable[[], Awaitable[int]]) -> int:
    try:
        return await main()
    except Exception as error:  # noqa: BLE001 - the outermost place: what comes here ends the process, logged
        return report(error, "main")
