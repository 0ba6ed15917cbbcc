"""Errors of the guards; each class docstring is its message."""

from __future__ import annotations


class GuardError(Exception):
    """A guard refused the call before it reached the dependency."""

    code = "guard_refused"


class CallNotPermitted(GuardError):  # noqa: N818 - the field knows this name
    """The circuit breaker is open.

    Attributes:
        name: of the breaker.
        retry_after_s: seconds until the breaker may let a call through; infinite while it is forced open.
    """

    code = "circuit_open"

    def __init__(self, name: str, retry_after_s: float) -> None:
        super().__init__(f"circuit breaker {name!r} is open")
        self.name = name
        self.retry_after_s = retry_after_s
