"""`resilience up`: start the stack, keep it running in the foreground, stop it."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from resilience_cli.addresses import print_addresses
from resilience_cli.console import Exit, err, out
from resilience_cli.demo import await_level, seed
from resilience_cli.errors import StackError
from resilience_cli.logs import LogFollower, print_tail
from resilience_cli.progress import StepLines
from resilience_cli.stack import (
    PARTS,
    Ended,
    Place,
    Ports,
    Stack,
    Wishes,
    owned,
    ports_from,
    read_state,
    region_from,
)
from resilience_cli.target import LOOPBACK_URL, stack_root

CANCEL_PATIENCE_S = 4.0


def up(
    *,
    logs: Annotated[
        bool, typer.Option("--logs", help="Also print what every part writes, prefixed.")
    ] = False,
    without: Annotated[
        list[str] | None, typer.Option(help="Leave a part out, to run it from an editor. Repeatable.")
    ] = None,
    proxies: Annotated[
        bool,
        typer.Option(
            "--proxies",
            help="Put a TCP proxy before each dependency and a clock into each service, for `chaos run`.",
        ),
    ] = False,
    secured: Annotated[
        bool,
        typer.Option(
            "--secured", help="Let Kafka ask for TLS and passwords, and refuse what is not declared."
        ),
    ] = False,
    brokers: Annotated[
        int, typer.Option(help="1, or 3: Kafka as a cluster that stores every record more than once.")
    ] = 1,
    standby: Annotated[
        bool,
        typer.Option(
            "--standby",
            help="A second PostgreSQL that follows the first: no write is answered before it has it.",
        ),
    ] = False,
    mirror: Annotated[
        list[str] | None,
        typer.Option(
            metavar="REGION=SERVERS",
            help="Mirror another region's Kafka into this one. Repeatable; RESILIENCE_SCOPE is this region's name.",
        ),
    ] = None,
) -> None:
    """Start everything on loopback, seed demo data, and stay until Ctrl-C, which stops it all.

    A part that ends by itself is started again. What `resilience chaos stop` ended stays down.
    Data of PostgreSQL and Kafka lives in .stack/ (RESILIENCE_STACK_DIR moves it) and survives; the cache and the
    images, in memory, do not. Logs are in .stack/logs/.
    A second `up` finds the first, prints its addresses and exits with 0.
    """
    left_out = set(without or ())
    unknown = sorted(left_out - set(PARTS))
    if unknown:
        raise typer.BadParameter(
            f"{unknown[0]} is no part; parts are {', '.join(PARTS)}", param_hint="--without"
        )
    if mirror and secured:
        raise typer.BadParameter("it is either this or --secured", param_hint="--mirror")
    try:
        region = region_from(os.environ.get("RESILIENCE_SCOPE") or None, mirror or [])
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--mirror") from error
    if proxies and secured:
        raise typer.BadParameter("it is either this or --proxies", param_hint="--secured")
    if brokers not in {1, 3}:
        raise typer.BadParameter("it is 1 or 3", param_hint="--brokers")
    if brokers > 1 and (proxies or secured):
        raise typer.BadParameter("it is either this or --proxies or --secured", param_hint="--brokers")
    root = stack_root()
    with _owned_directory(root) as mine:
        if not mine:
            _greet_the_first(root)
            return
        policy = os.environ.get("RESILIENCE_POLICY_FILE")
        wishes = Wishes(
            [part for part in PARTS if part not in left_out],
            Path(policy).resolve() if policy else None,
            proxies,
            secured,
            three_brokers=brokers > 1,
            standby=standby,
            region=region,
        )
        Session(Place(root), wishes, follow=logs).run()


@dataclass(slots=True)
class Session:
    """One run of the stack in the foreground."""

    place: Place
    wishes: Wishes
    follow: bool
    _stopping: threading.Event = field(default_factory=threading.Event)
    _started: threading.Event = field(default_factory=threading.Event)
    _error: StackError | None = None

    def run(self) -> None:
        """Start, supervise until a signal, stop."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda *_: self._stopping.set())
        stack = Stack(self.place, ports_from(os.environ), self.wishes, self._tell_ended)
        follower = LogFollower(self.place) if self.follow else None
        starter = threading.Thread(target=self._start, args=(stack,), daemon=True)
        starter.start()
        while not self._stopping.is_set() and not self._error:
            self._stopping.wait(0.2)
        self._stop(stack, starter)
        if follower:
            follower.close()
        if self._error:
            raise self._error
        if starter.is_alive():
            # A download or the creation of a database cannot be interrupted; it must not keep us.
            os._exit(Exit.OK)

    def _start(self, stack: Stack) -> None:
        began = time.monotonic()
        try:
            with StepLines() as lines:
                stack.start(lines.done)
                for name, act in self._afterwards(stack.ports).items():
                    lines.attempt(name, act)
        except Exception as error:  # noqa: BLE001 - the end of a thread: what escapes here nobody would see
            if not self._stopping.is_set():
                self._error = error if isinstance(error, StackError) else self._damaged(error)
            return
        stack.set_ready()
        out.print(f"\n[bold green]Ready[/] after {time.monotonic() - began:.1f} s\n")
        print_addresses(stack.ports, self.place.root)
        out.print(f"\nCtrl-C stops everything; data stays in {escape(str(self.place.root))}", soft_wrap=True)

    def _damaged(self, error: Exception) -> StackError:
        return StackError(
            f"the stack cannot start ({type(error).__name__}: {error})",
            f"if {self.place.root} was changed by hand, move it away and start anew",
        )

    def _afterwards(self, ports: Ports) -> dict[str, Callable[[], None]]:
        """Return what makes a running system one that has something to show."""
        acts: dict[str, Callable[[], None]] = {}
        if "inventory-api" in self.wishes.parts:
            acts["demo data"] = lambda: seed(f"{LOOPBACK_URL}:{ports['inventory-api']}")
        if set(self.wishes.parts) == set(PARTS):
            acts["first level"] = lambda: await_level(f"{LOOPBACK_URL}:{ports['flag-service']}")
        return acts

    def _stop(self, stack: Stack, starter: threading.Thread) -> None:
        began = time.monotonic()
        if self._stopping.is_set():
            err.print("\nStopping")
        stack.cancel()
        starter.join(CANCEL_PATIENCE_S)
        stack.close()
        if self._stopping.is_set():
            err.print(f"Stopped after {time.monotonic() - began:.1f} s")

    def _tell_ended(self, ended: Ended) -> None:
        if self._stopping.is_set():
            return
        err.print(
            f"[bold yellow]{ended.part} ended (exit {ended.exit_code}); "
            f"starting it again in {ended.again_in_s:.1f} s[/]"
        )
        print_tail(ended.part, ended.last_words)


@contextmanager
def _owned_directory(root: Path) -> Iterator[bool]:
    with ExitStack() as held:
        try:
            mine = held.enter_context(owned(root))
        except OSError as error:
            raise StackError(
                f"{root} cannot be used ({error.strerror})",
                "set RESILIENCE_STACK_DIR to a directory of yours",
            ) from error
        yield mine


def _greet_the_first(root: Path) -> None:
    state = read_state(root)
    if state is None:
        out.print(f"Another `resilience up` is just starting or stopping in {escape(str(root))}")
        return
    how = "runs already" if state.ready else "is starting already"
    out.print(f"The stack {how} (pid {state.owner_pid}, {escape(str(root))})\n")
    print_addresses(state.ports, root)
