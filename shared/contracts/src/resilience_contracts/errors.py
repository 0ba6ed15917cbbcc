"""Errors of the vocabulary; each class docstring is its default message."""

from __future__ import annotations


class ContractsError(Exception):
    """Something does not follow the contracts."""

    code = "contracts_error"

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or (type(self).__doc__ or "").strip())


class PolicyError(ContractsError):
    """The policy file breaks a rule; each line of the message names the key and the rule."""

    code = "policy_invalid"


class CodecError(ContractsError):
    """A record cannot be read as an event."""

    code = "event_unreadable"


class UnknownEventError(CodecError):
    """The event has a type or a version that this code does not know."""

    code = "event_unknown"
