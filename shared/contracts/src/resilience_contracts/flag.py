"""Flags that a retailer defines: variants, who gets which, and what takes a flag away from everyone."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from enum import StrEnum
from functools import cached_property
from graphlib import CycleError, TopologicalSorter
from typing import Annotated

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    JsonValue,
    StrictBool,
    StrictFloat,
    StrictInt,
    StrictStr,
    model_validator,
)

from .events import FeatureKey
from .feature import FeatureState
from .section import HUNDREDTHS, Names, Points, PolicyLevel, Section

TARGETING_KEY = "targetingKey"
MODE_SUFFIX = ".mode"
SYSTEM_PREFIX = "system."
PREREQUISITE_DEPTH = 16
OBJECT_BYTES = 16_384
WHOLE = 100 * HUNDREDTHS
_EXACT = 2**53 - 1
"""JavaScript reads larger integers as their neighbours."""

_FEATURE_VARIANTS = frozenset(state.value.lower() for state in FeatureState)


def _finite(value: dict[str, JsonValue]) -> dict[str, JsonValue]:
    if len(json.dumps(value, allow_nan=False, separators=(",", ":"))) > OBJECT_BYTES:
        raise ValueError(f"an object has at most {OBJECT_BYTES} bytes as JSON")
    return value


def _exact(value: object) -> object:
    if isinstance(value, int) and abs(value) > _EXACT:
        raise ValueError(f"an integer lies within +-{_EXACT}, as far as every client reads it exactly")
    return value


VariantName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]*$", max_length=60)]
Attribute = Annotated[str, Field(min_length=1, max_length=100)]
Scalar = StrictBool | StrictInt | StrictFloat | StrictStr
FlagValue = Annotated[
    StrictBool
    | StrictInt
    | StrictFloat
    | Annotated[StrictStr, Field(max_length=10_000)]
    | Annotated[dict[str, JsonValue], AfterValidator(_finite)],
    Field(union_mode="left_to_right"),
    BeforeValidator(_exact),
]


class FlagType(StrEnum):
    """What a flag's values are."""

    BOOLEAN = "boolean"
    STRING = "string"
    NUMBER = "number"
    OBJECT = "object"

    @staticmethod
    def of(value: object) -> FlagType:
        """Return the type of a value."""
        if isinstance(value, bool):
            return FlagType.BOOLEAN
        if isinstance(value, int | float):
            return FlagType.NUMBER
        return FlagType.STRING if isinstance(value, str) else FlagType.OBJECT


class Condition(Section):
    """What an attribute of the caller's context must be: everything that is given here, together.

    A context without the attribute, or with one of another type, meets no condition.
    """

    one_of: tuple[Scalar, ...] | None = Field(default=None, min_length=1, max_length=10_000)
    none_of: tuple[Scalar, ...] | None = Field(default=None, min_length=1, max_length=10_000)
    starts_with: str | None = Field(default=None, min_length=1, max_length=200)
    ends_with: str | None = Field(default=None, min_length=1, max_length=200)
    contains: str | None = Field(default=None, min_length=1, max_length=200)
    at_least: float | None = None
    below: float | None = None

    @model_validator(mode="after")
    def _says_something(self) -> Condition:
        if not self.model_fields_set:
            raise ValueError(f"one of {', '.join(type(self).model_fields)} is needed")
        return self


class Target(Section):
    """Whoever meets `when` is served a variant, or by percentage one of several; without `when`, everyone."""

    when: dict[Attribute, Condition] = Field(default_factory=dict, max_length=20)
    serve: VariantName | dict[VariantName, Points] = Field(
        description="a variant, or the percentage of callers that each variant gets; together 100"
    )

    @model_validator(mode="after")
    def _whole(self) -> Target:
        total = sum(self.serve.values()) if isinstance(self.serve, dict) else WHOLE
        if total != WHOLE:
            raise ValueError(f"serve: percentages must add up to 100, not {total / HUNDREDTHS:g}")
        return self

    @property
    def variants(self) -> tuple[str, ...]:
        """Every variant that may be served."""
        return tuple(self.serve) if isinstance(self.serve, dict) else (self.serve,)


class FlagRule(Section):
    """One flag.

    What decides, first match wins: a hold; a prerequisite that is not met; the level or a dependency; the
    first target that matches; the default.
    """

    variants: dict[VariantName, FlagValue] = Field(min_length=1, max_length=50)
    default: VariantName = Field(description="served to whom no target matches")
    off: VariantName = Field(description="served to everyone while something takes the flag away")
    up_to: PolicyLevel | None = Field(default=None, description="the worst level at which the flag is served")
    needs: Names = Field(default=frozenset(), description="dependencies without which the flag is off")
    prerequisites: dict[FeatureKey, tuple[VariantName, ...]] = Field(
        default_factory=dict, max_length=20, description="other flags and features, with the variants that do"
    )
    targeting: tuple[Target, ...] = Field(default=(), max_length=100)
    split_by: Attribute = Field(default=TARGETING_KEY, description="the attribute that percentages go by")

    @model_validator(mode="after")
    def _consistent(self) -> FlagRule:
        types = {FlagType.of(value) for value in self.variants.values()}
        if len(types) > 1:
            raise ValueError(f"variants: all of one type, not {' and '.join(sorted(types))}")
        served = {"default": (self.default,), "off": (self.off,)} | {
            f"targeting.{index}.serve": target.variants for index, target in enumerate(self.targeting)
        }
        for where, names in served.items():
            for name in names:
                if name not in self.variants:
                    raise ValueError(
                        f"{where}: {name!r} is not one of the variants {', '.join(self.variants)}"
                    )
        return self

    @cached_property
    def type(self) -> FlagType:
        """What the values are."""
        return FlagType.of(next(iter(self.variants.values())))

    @cached_property
    def values(self) -> Mapping[str, object]:
        """The value of each variant; where one number is a fraction, all are written with a decimal point."""
        if any(isinstance(value, float) for value in self.variants.values()):
            return {
                name: float(value) for name, value in self.variants.items() if isinstance(value, int | float)
            }
        return self.variants


def flag_faults(flags: Mapping[str, FlagRule], features: frozenset[str]) -> Iterator[str]:
    """Name what is wrong with flags taken together, one a line, each with its key."""
    taken = features | {key + MODE_SUFFIX for key in features}
    for key in flags:
        if key in taken or key.startswith(SYSTEM_PREFIX):
            yield f"flags.{key}: features and the level already give a flag of this name"
    variants = {key: frozenset(rule.variants) for key, rule in flags.items()}
    variants |= dict.fromkeys(features, _FEATURE_VARIANTS)
    for key, rule in flags.items():
        for other, wanted in rule.prerequisites.items():
            where = f"flags.{key}.prerequisites.{other}"
            if other not in variants:
                yield f"{where}: neither a flag nor a feature is called so"
                continue
            for name in sorted(set(wanted) - variants[other]):
                yield f"{where}: {name!r} is not one of its variants {', '.join(sorted(variants[other]))}"
    yield from _order_faults(flags)


def _order_faults(flags: Mapping[str, FlagRule]) -> Iterator[str]:
    try:
        order = prerequisite_order(flags)
    except CycleError as error:
        cycle = error.args[1]
        yield f"flags.{cycle[0]}.prerequisites: they go round, {' needs '.join(reversed(cycle))}"
        return
    depths: dict[str, int] = {}
    for key in order:
        depths[key] = 1 + max((depths.get(other, 0) for other in flags[key].prerequisites), default=0)
        if depths[key] > PREREQUISITE_DEPTH:
            yield f"flags.{key}.prerequisites: a chain of more than {PREREQUISITE_DEPTH}"
            return


def prerequisite_order(flags: Mapping[str, FlagRule]) -> list[str]:
    """Return the flags, each after those it needs.

    Raises:
        CycleError: they go round; its second argument is the way round, as a list of keys.
    """
    graph = {key: [other for other in rule.prerequisites if other in flags] for key, rule in flags.items()}
    return list(TopologicalSorter(graph).static_order())
