"""What every part of the policy file is made of: closed sections, levels and states by name, shares and points."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from .events import DependencyName
from .feature import FeatureState
from .level import Level

HUNDREDTHS = 100
ROUNDING = 1e-9
_LETTERS = {
    "E": FeatureState.ENABLED,
    "F": FeatureState.FALLBACK,
    "X": FeatureState.DISABLED,
}


def _level(name: object) -> object:
    if isinstance(name, str) and name not in Level.__members__:
        raise ValueError(f"one of {', '.join(Level.__members__)}")
    return Level[name] if isinstance(name, str) else name


def _state(letter: object) -> object:
    if isinstance(letter, FeatureState) or not isinstance(letter, str):
        return letter
    if letter not in _LETTERS:
        raise ValueError(f"one of {', '.join(_LETTERS)}")
    return _LETTERS[letter]


def _to_hundredths(points: float) -> int:
    hundredths = round(points * HUNDREDTHS)
    if abs(points * HUNDREDTHS - hundredths) > ROUNDING:
        raise ValueError("at most two decimals")
    return hundredths


PolicyLevel = Annotated[Level, BeforeValidator(_level), WithJsonSchema({"enum": list(Level.__members__)})]
PolicyState = Annotated[FeatureState, BeforeValidator(_state), WithJsonSchema({"enum": list(_LETTERS)})]
Points = Annotated[float, Field(ge=0, le=100), AfterValidator(_to_hundredths)]
"""Written in points or percent (0 to 100), held as an integer number of hundredths."""
Names = frozenset[DependencyName]


class Section(BaseModel):
    """A part of the policy: nothing in it changes, and no key is in it that means nothing."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
