"""The policy model: weights, boundaries, guard rails, dwell times and features, checked as a whole.

Errors name the key and the rule, one a line.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from functools import cached_property
from importlib import resources
from itertools import combinations, pairwise
from typing import Annotated, Any, Literal

import yaml
from pydantic import (
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from .errors import PolicyError
from .events import DependencyName, FeatureKey, Scope
from .feature import FeatureState
from .flag import FlagRule, flag_faults
from .level import Level
from .roll_up import RollUp, roll_up_faults
from .section import HUNDREDTHS, Names, Points, PolicyLevel, PolicyState, Section

WHOLE = 100
Seconds = Annotated[float, Field(ge=0, le=86_400 * 7)]
CORE_SCHEMA = {
    "tag:yaml.org,2002:bool": (r"true|false", "tf"),
    "tag:yaml.org,2002:int": (r"[-+]?(0|[1-9][0-9_]*)", "-+0123456789"),
    "tag:yaml.org,2002:float": (
        r"[-+]?(\.[0-9]+|[0-9]+\.[0-9]*)([eE][-+]?[0-9]+)?|[-+]?[0-9]+[eE][-+]?[0-9]+|[-+]?\.inf|\.nan",
        "-+.0123456789",
    ),
    "tag:yaml.org,2002:null": (r"~|null|", ["~", "n", ""]),
}
"""Plain words that are no text, as YAML 1.2 has them: `no` is a country, `on` a variant, 0017 a SKU."""


class BreakerPolicy(Section):
    """Settings of the circuit breaker in front of one dependency; times carry their unit in the name."""

    window_calls: int = Field(ge=1, le=10_000)
    minimum_calls: int = Field(ge=1, le=10_000)
    failure_rate_percent: float = Field(gt=0, le=100)
    slow_call_ms: float = Field(gt=0)
    slow_rate_percent: float = Field(gt=0, le=100)
    call_deadline_ms: float = Field(gt=0)
    open_wait_s: float = Field(gt=0)
    open_wait_cap_s: float = Field(gt=0)
    half_open_permits: int = Field(ge=1, le=1000)


class DependencyPolicy(Section):
    """One thing the shop stands on."""

    weight: int = Field(ge=0, le=100)
    latency_objective_ms: float = Field(gt=0)
    interval_s: float = Field(gt=0, le=3600)
    deadline_s: float = Field(gt=0, le=300)
    breaker: BreakerPolicy


class Floor(Section):
    """While all of `down` are DOWN (or any dependency at all), the level is at least this bad."""

    down: Names | Literal["any"]
    at_least: PolicyLevel
    immediate: bool = False

    def holds(self, down: frozenset[str]) -> bool:
        """Say whether the rule is in force for this set of DOWN dependencies."""
        return bool(down) if self.down == "any" else self.down <= down


class Ceiling(Section):
    """While `not_down` is not DOWN, the level is at most this bad."""

    not_down: DependencyName
    at_most: PolicyLevel


class LevelPolicy(Section):
    """How a score becomes a level, and what bounds it."""

    boundaries: dict[PolicyLevel, Points]
    promotion_margin: Points
    floors: tuple[Floor, ...]
    ceilings: tuple[Ceiling, ...]

    @field_validator("boundaries")
    @classmethod
    def _descending(cls, boundaries: dict[Level, int]) -> dict[Level, int]:
        wanted = list(Level)[:-1]
        if sorted(boundaries) != wanted:
            raise ValueError(f"exactly {', '.join(level.name for level in wanted)} have a boundary")
        values = [boundaries[level] for level in wanted]
        if any(better <= worse for better, worse in pairwise(values)):
            raise ValueError("boundaries must fall from OPTIMAL to MINIMAL")
        return boundaries


class Timing(Section):
    """Dwell times, heartbeats and what silence means."""

    demote_dwell_s: Seconds
    promote_dwell_s: Seconds
    heartbeat_s: float = Field(gt=0, le=3600)
    fresh_intervals: float = Field(gt=0)
    stale_intervals: float = Field(gt=0)
    monitor_lost_s: Seconds
    on_monitor_lost: PolicyLevel | Literal["keep"]

    @model_validator(mode="after")
    def _fresh_before_stale(self) -> Timing:
        if self.fresh_intervals >= self.stale_intervals:
            raise ValueError("fresh_intervals must be under stale_intervals")
        return self


class EarlyWarning(Section):
    """From when on a dependency that still answers counts as IMPAIRED, because it is much slower than usual."""

    times_usual: float = Field(ge=1.5, le=100, description="what a probe usually takes at this hour is 1")
    share_of_objective: float = Field(
        ge=0, le=1, description="quicker than this share of `latency_objective_ms`, nothing is slow"
    )


class Damping(Section):
    """How repeated demotions slow promotion down."""

    half_life_s: float = Field(gt=0)
    slow_above: float = Field(gt=0)
    normal_below: float = Field(gt=0)
    promote_factor: float = Field(ge=1)
    penalty_cap: float = Field(gt=0)

    @model_validator(mode="after")
    def _ordered(self) -> Damping:
        if not self.normal_below <= self.slow_above <= self.penalty_cap:
            raise ValueError("normal_below <= slow_above <= penalty_cap is needed")
        return self


class FeatureRule(Section):
    """What one feature may do at each level and without each dependency."""

    levels: tuple[PolicyState, PolicyState, PolicyState, PolicyState, PolicyState]
    hard: Names = frozenset()
    soft: Names = frozenset()
    unknown: PolicyState
    fallback: str | None = Field(default=None, max_length=300)

    @model_validator(mode="after")
    def _consistent(self) -> FeatureRule:
        ranks = [state.rank for state in self.levels]
        if ranks != sorted(ranks):
            raise ValueError("levels: a worse level may not turn a feature on")
        if self.hard & self.soft:
            raise ValueError("a dependency is either hard or soft")
        falls_back = bool(self.soft) or FeatureState.FALLBACK in (*self.levels, self.unknown)
        if falls_back and not self.fallback:
            raise ValueError("fallback: say what FALLBACK means")
        return self

    def at(self, level: Level) -> FeatureState:
        """Return what the level alone allows."""
        return self.levels[level]


class Policy(Section):
    """The whole policy. Scores and boundaries are integers in hundredths of a point."""

    schema_version: Literal[1]
    dependencies: dict[DependencyName, DependencyPolicy] = Field(min_length=1, max_length=16)
    levels: LevelPolicy
    timing: Timing
    damping: Damping
    early_warning: EarlyWarning | None = Field(default=None, description="without it no usual is learnt")
    features: dict[FeatureKey, FeatureRule] = Field(min_length=1)
    flags: dict[FeatureKey, FlagRule] = Field(
        default_factory=dict, max_length=10_000, description="flags of the retailer's own"
    )
    roll_ups: dict[Scope, RollUp] = Field(
        default_factory=dict, max_length=1_000, description="scopes whose level follows from those beneath"
    )
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$", exclude=True)

    @cached_property
    def weights(self) -> dict[str, int]:
        """Weight of each dependency; together 100."""
        return {name: dependency.weight for name, dependency in self.dependencies.items()}

    @model_validator(mode="after")
    def _whole(self) -> Policy:
        faults = [
            *self._weight_faults(),
            *self._name_faults(),
            *self._margin_faults(),
            *flag_faults(self.flags, frozenset(self.features)),
            *roll_up_faults(self.roll_ups),
        ]
        if faults:
            raise ValueError("\n".join(faults))
        return self

    def _weight_faults(self) -> Iterator[str]:
        total = sum(self.weights.values())
        if total != WHOLE:
            yield f"dependencies.*.weight: weights must add up to 100, not {total}"

    def _name_faults(self) -> Iterator[str]:
        known = set(self.dependencies)
        for key, names in self._named().items():
            for name in sorted(names - known):
                yield f"{key}: {name!r} is not one of the dependencies {', '.join(sorted(known))}"

    def _named(self) -> dict[str, frozenset[str]]:
        named: dict[str, frozenset[str]] = {}
        for index, floor in enumerate(self.levels.floors):
            named[f"levels.floors.{index}.down"] = (
                frozenset() if floor.down == "any" else frozenset(floor.down)
            )
        for index, ceiling in enumerate(self.levels.ceilings):
            named[f"levels.ceilings.{index}.not_down"] = frozenset({ceiling.not_down})
        for key, rule in self.features.items():
            named[f"features.{key}"] = frozenset(rule.hard | rule.soft)
        for key, flag in self.flags.items():
            named[f"flags.{key}.needs"] = flag.needs
        return named

    def _margin_faults(self) -> Iterator[str]:
        margin = self.levels.promotion_margin
        for total in reachable_sums(self.weights):
            for level, boundary in self.levels.boundaries.items():
                if boundary <= total < boundary + margin:
                    yield (
                        f"levels.boundaries.{level.name}: the reachable sum {total / HUNDREDTHS:g} lies in "
                        f"[{boundary / HUNDREDTHS:g}, {(boundary + margin) / HUNDREDTHS:g}), so the settled "
                        "level would depend on the path taken; move the boundary or shrink promotion_margin"
                    )


def reachable_sums(weights: Mapping[str, int]) -> list[int]:
    """Return the overall scores, in hundredths, of every set of fully DOWN dependencies."""
    names = sorted(weights)
    sets = (subset for size in range(len(names) + 1) for subset in combinations(names, size))
    return sorted({(100 - sum(weights[n] for n in down)) * HUNDREDTHS for down in sets})


class _PolicyLoader(yaml.CSafeLoader):
    """YAML without the silent loss of a key that is written twice, and without words that turn into booleans."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str):
                raise PolicyError(f"line {key_node.start_mark.line + 1}: {key!r} is not a text key")
            if key in seen:
                raise PolicyError(f"line {key_node.start_mark.line + 1}: {key} is written twice")
            seen.add(key)
        return super().construct_mapping(node, deep)


_PolicyLoader.yaml_implicit_resolvers = {}
for _tag, (_pattern, _first) in CORE_SCHEMA.items():
    _PolicyLoader.add_implicit_resolver(_tag, re.compile(f"^({_pattern})$"), list(_first))


def parse_policy(text: str) -> Policy:
    """Read and check a policy.

    Raises:
        PolicyError: with one line per fault, each naming the key and the rule.
    """
    try:
        data = yaml.load(text, Loader=_PolicyLoader)  # noqa: S506 - a SafeLoader
    except yaml.YAMLError as error:
        raise PolicyError(f"not YAML: {' '.join(str(error).split())}") from error
    except RecursionError as error:
        raise PolicyError("nested too deeply") from error
    if not isinstance(data, dict):
        raise PolicyError("the policy is a mapping; see the default policy for its keys")
    digest = hashlib.sha256(text.encode()).hexdigest()
    try:
        return Policy.model_validate({**data, "sha256": digest})
    except ValidationError as error:
        raise PolicyError("\n".join(_lines(error))) from error


def _lines(error: ValidationError) -> Iterator[str]:
    for fault in error.errors(include_url=False):
        message = fault["msg"].removeprefix("Value error, ")
        where = ".".join(str(step) for step in fault["loc"] if not _names_a_type(step))
        yield f"{where}: {message}" if where else message


def _names_a_type(step: int | str) -> bool:
    """Say whether a step is the alternative that pydantic tried, which nobody wrote as a key."""
    return isinstance(step, str) and "[" in step and step != "[key]"


def default_policy_text() -> str:
    """Return the policy that ships with this package, as YAML."""
    return resources.files(__package__).joinpath("policy.yaml").read_text(encoding="utf-8")


def default_policy() -> Policy:
    """Return the policy that ships with this package."""
    return parse_policy(default_policy_text())
