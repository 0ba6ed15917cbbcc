"""Errors of the guards; each class docstring is its message."""

from __future__ import annotations

from .state import State


class GuardError(Exception):
    """A guard refused the call before it reached the dependency."""

    code = "guard_refused"

    def __str__(self) -> str:
        return self.__doc__ or ""


class CallNotPermitted(GuardError):  # noqa: N818 - the field knows this name
    """The circuit breaker permits no call now.

    `retry_after_s` is exact in OPEN, an estimate in HALF_OPEN, and the cap of the wait in FORCED_OPEN, which only
    an operator ends.
    """

    code = "circuit_open"

    # Raised for each refused call of an outage: the parts stay in `args`, which costs no initialiser of our own.
    args: tuple[str, State, float]

    @property
    def name(self) -> str:
        """Name of the breaker."""
        return self.args[0]

    @property
    def state(self) -> State:
        """The state it is in."""
        return self.args[1]

    @property
    def retry_after_s(self) -> float:
        """Seconds until it may let a call through."""
        return self.args[2]

    def __str__(self) -> str:
        return f"circuit breaker {self.name!r} is {self.state}; ask again in {self.retry_after_s:.3f} s"


class IllegalMove(GuardError):  # noqa: N818 - like its sibling
    """The circuit breaker cannot be moved by hand between these two states.

    Attributes:
        name: of the breaker.
        source: the state it is in.
        target: the state that was asked for.
    """

    code = "circuit_move_illegal"

    def __init__(self, name: str, source: State, target: State) -> None:
        self.name = name
        self.source = source
        self.target = target

    def __str__(self) -> str:
        return f"circuit breaker {self.name!r} cannot be moved from {self.source} to {self.target}"


class BulkheadFull(GuardError):  # noqa: N818 - like its siblings
    """All places of the bulkhead and of its queue are taken."""

    code = "bulkhead_full"


class LimitReached(GuardError):  # noqa: N818 - like its siblings
    """As many calls are under way as the dependency answers without queueing."""

    code = "limit_reached"


class Shed(GuardError):  # noqa: N818 - like its siblings
    """There is no room for a call of this class under the present load."""

    code = "shed"
