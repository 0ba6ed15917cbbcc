"""A whole stack: started in the order of its needs, kept running, broken on purpose, stopped in order."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from resilience_cli.acls import apply_declared_acls
from resilience_cli.errors import StackError
from resilience_cli.topics import apply_declared
from resilience_contracts import Regions

from .keeper import Ended, Keeper
from .keys import create_operator_key
from .layout import (
    BACKING,
    FURTHER_BROKERS,
    NEEDS,
    PARTS,
    SERVICES,
    TOPICS,
    backing_parts,
    broker_ports,
    brokers,
    environment,
    is_secured,
    kafka,
    mirror,
    services,
    standby_port,
)
from .marks import clear_marks
from .mirror import MIRROR, Region
from .network import NETWORK, link_ports
from .part import Place
from .ports import Ports, variable_of
from .process import ProcessRef, name_of, owned_by, stop
from .runner import Running, require_free
from .standby import STANDBY
from .state import PartState, StackState, read_state, state_file, write_state
from .steps import Done, Step, run_steps

# Together with the interpreter's own end, all of it stays under the 10 s that are promised.
SERVICES_GRACE_S = 4.0
BACKING_GRACE_S = 4.0


@dataclass(frozen=True, slots=True)
class Wishes:
    """What differs from the default stack; `region` is what it is among others.

    `proxies` puts a TCP proxy between the services and what they depend on, for faults of the network. `secured`
    lets Kafka ask for TLS and a password, and hold each service to its permissions. `three_brokers` makes Kafka a
    cluster that loses one and nothing with it. One of the three. `standby` adds a second PostgreSQL, without which no
    write is answered.
    """

    parts: Collection[str] = PARTS
    policy_file: Path | None = None
    proxies: bool = False
    secured: bool = False
    three_brokers: bool = False
    standby: bool = False
    region: Region = field(default_factory=Region)


class Stack:
    """A stack in one directory. Its owner holds `owned(root)` while it uses this."""

    def __init__(
        self,
        place: Place,
        ports: Ports,
        wishes: Wishes,
        ended: Callable[[Ended], None] = lambda _ended: None,
    ) -> None:
        if wishes.proxies:
            ports = {**ports, **link_ports()}
        if wishes.three_brokers:
            ports = {**ports, **broker_ports()}
        if wishes.standby:
            ports = {**ports, **standby_port()}
        self.place, self.ports = place, ports
        self.env = environment(place, ports, wishes.policy_file, wishes.secured, wishes.region)
        parts = backing_parts(place, ports, wishes.secured) | services(place, ports, self.env)
        parts |= mirror(place, ports, wishes.region.sources)
        self._regions = Regions.parse(" ".join(wishes.region.sources))
        self._keepers = {
            name: Keeper(part, place, variable_of(name), self._note, ended)
            for name, part in parts.items()
            if name in wishes.parts or name not in PARTS
        }
        self._threads: list[threading.Thread] = []
        self._closing = threading.Event()
        self._failed = threading.Event()
        self._state_lock = threading.Lock()
        self._state = StackState.new(dict(ports), self.env)

    def start(self, done: Callable[[Done], None] = lambda _done: None) -> None:
        """Start everything; return when all of it answers.

        Raises:
            StackError: something could not be started, or the state of an earlier stack is damaged. What was
                started still runs; call `close`.
        """
        read_state(self.place.root)
        stop_leftovers(self.place.root)
        clear_marks(self.place.root)
        self._require_ports()
        create_operator_key(self.place)
        self._write()
        error = run_steps(self._steps(), lambda step: self._take(step, done), self._closing.is_set)
        if error:
            raise error
        if self._closing.is_set():
            raise StackError("stopped while starting", "start it again")
        self._watch()

    def keeper(self, part: str) -> Keeper:
        """Return the keeper of a part.

        Raises:
            StackError: the stack has no such part.
        """
        try:
            return self._keepers[part]
        except KeyError:
            raise StackError(
                f"there is no part {part} here", f"take one of {', '.join(self._keepers)}"
            ) from None

    def set_ready(self) -> None:
        """Say in the state that everything is up."""
        with self._state_lock:
            self._state = self._state.model_copy(update={"ready": True})
        self._write()

    def cancel(self) -> None:
        """Let a start that is under way give up soon. Safe in a signal handler's thread."""
        self._closing.set()
        for keeper in self._keepers.values():
            keeper.close()

    def close(self) -> None:
        """Stop everything in order: services first, then what they depend on."""
        self.cancel()
        for group, grace_s in (
            ((*SERVICES, MIRROR), SERVICES_GRACE_S),
            ((*BACKING, STANDBY, *FURTHER_BROKERS, NETWORK), BACKING_GRACE_S),
        ):
            running = [self._keepers[name].running for name in group if name in self._keepers]
            _halt_together([each for each in running if each], grace_s)
        for thread in self._threads:
            thread.join()
        state_file(self.place.root).unlink(missing_ok=True)

    def _take(self, step: Done, done: Callable[[Done], None]) -> None:
        """Pass on how a step ended; after a failure let what is still starting give up."""
        if step.error and not self._failed.is_set():
            self._failed.set()
            done(step)
            for keeper in self._keepers.values():
                keeper.close()
        elif not step.error:
            done(step)

    def _steps(self) -> dict[str, Step]:
        steps = {name: Step(keeper.start, NEEDS.get(name, ())) for name, keeper in self._keepers.items()}
        if "kafka" in steps:
            steps[TOPICS] = Step(self._declare, NEEDS[TOPICS])
        return steps

    def _declare(self) -> None:
        secured = is_secured(self.env)
        access = kafka(self.place, self.ports, secured).access()
        apply_declared(access, len(brokers(self.ports)), self._regions)
        if secured:
            apply_declared_acls(access)

    def _require_ports(self) -> None:
        """Check every port before anything is started, so that nothing is half up."""
        for name, port in self.ports.items():
            if name.removesuffix("-metrics").removesuffix("-controller") in self._keepers:
                require_free(port, variable_of(name))

    def _watch(self) -> None:
        for name, keeper in self._keepers.items():
            thread = threading.Thread(target=keeper.run, name=f"keeper of {name}")
            thread.start()
            self._threads.append(thread)

    def _note(self, part: str, state: PartState) -> None:
        with self._state_lock:
            self._state = self._state.model_copy(update={"parts": {**self._state.parts, part: state}})
        self._write()

    def _write(self) -> None:
        with self._state_lock:
            write_state(self.place.root, self._state)


def stop_leftovers(root: Path) -> list[str]:
    """End what a killed owner left running in a directory; return what that was.

    The processes themselves are asked, so that a damaged or missing state changes nothing.
    """
    left = owned_by(root)
    names = [name_of(process) for process in left]
    stop({ProcessRef.of(process.pid): _end_signal(process) for process in left}, BACKING_GRACE_S)
    state_file(root).unlink(missing_ok=True)
    return names


def _end_signal(process: psutil.Process) -> signal.Signals:
    return signal.SIGINT if process.name() == "postgres" else signal.SIGTERM


def _halt_together(running: list[Running], grace_s: float) -> None:
    stop({each.ref: each.part.stop_signal for each in running}, grace_s)
    for each in running:
        each.process.wait()
