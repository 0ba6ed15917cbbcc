"""Why an event or a stored state is not taken; each class docstring is its default message."""

from __future__ import annotations

from enum import StrEnum


class RefusalReason(StrEnum):
    """The rule that a refused event breaks."""

    UNKNOWN_DEPENDENCY = "unknown_dependency"
    TIME_AHEAD = "time_ahead"
    TIME_BEHIND = "time_behind"
    TOO_MANY_OBSERVERS = "too_many_observers"
    TOO_MANY_SCOPES = "too_many_scopes"
    ROLLED_UP = "rolled_up"


class EngineError(Exception):
    """The engine cannot use what it was given."""

    code = "engine_error"

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or (type(self).__doc__ or "").strip())


class Refused(EngineError):  # noqa: N818 - the word for what happens to the event
    """The event breaks a rule of the engine; it changed nothing."""

    code = "event_refused"

    def __init__(self, reason: RefusalReason, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason


class StateUnreadable(EngineError):  # noqa: N818 - the word for what happened to the state
    """A stored scope cannot be read back."""

    code = "state_unreadable"
