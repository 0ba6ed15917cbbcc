"""What a flag answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

Context = Mapping[str, object]
"""What a caller says of itself: attributes by name, `targetingKey` among them."""
Scalar = bool | int | str
Metadata = dict[str, Scalar]


class Reason(StrEnum):
    """Why a flag has its value, in words that every OFREP client knows."""

    STATIC = "STATIC"
    TARGETING_MATCH = "TARGETING_MATCH"
    SPLIT = "SPLIT"
    DEFAULT = "DEFAULT"
    UNKNOWN = "UNKNOWN"


class TargetingKeyMissingError(Exception):
    """A percentage goes by an attribute that the context does not give."""


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """A flag's answer; a value of None asks the caller to use its own default.

    Equal only to itself: what is the same answer is the same object while a picture stands.
    """

    key: str
    value: object
    reason: Reason
    variant: str
    metadata: Mapping[str, Scalar] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class Failure:
    """A flag that cannot be answered for this context; never a value that nobody decided."""

    key: str
    details: str
