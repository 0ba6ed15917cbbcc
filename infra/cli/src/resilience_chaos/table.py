"""The declared table of experiments: what is broken, how, and what must follow."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from resilience_cli.errors import StackError
from resilience_contracts import FeatureState, Level

from .faults import KINDS

SHIPPED = Path(__file__).with_name("table.yaml")


class Fault(BaseModel):
    """One fault: a part, a kind, and the options of that kind."""

    model_config = ConfigDict(extra="allow", frozen=True)
    __pydantic_extra__: dict[str, float | int | str]

    part: str
    kind: str

    @property
    def options(self) -> dict[str, Any]:
        """What this kind is told beyond the part."""
        return dict(self.__pydantic_extra__)

    @property
    def needs_proxies(self) -> bool:
        """Whether the stack must have been started with proxies."""
        return KINDS[self.kind].proxies or (self.kind == "status" and self.part != "openai")

    def __str__(self) -> str:
        told = " ".join(f"{name}={value}" for name, value in self.options.items() if name != "text")
        return f"{self.part} {self.kind}" + (f" ({told})" if told else "")

    @model_validator(mode="after")
    def _is_known(self) -> Self:
        kind = KINDS.get(self.kind)
        if kind is None:
            raise ValueError(f"{self.kind!r} is no kind of fault; kinds are {', '.join(KINDS)}")
        if self.part not in kind.parts:
            raise ValueError(f"{self.kind} cannot be done to {self.part!r}, only to {', '.join(kind.parts)}")
        strange = sorted(set(self.options) - kind.options)
        if strange:
            known = ", ".join(sorted(kind.options)) or "none"
            raise ValueError(f"{self.kind} has no option {strange[0]!r}; its options are {known}")
        lacking = sorted(kind.needed - set(self.options))
        if lacking:
            raise ValueError(f"{self.kind} needs the option {lacking[0]!r}")
        return self


class Row(BaseModel):
    """One experiment."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", max_length=60)
    faults: tuple[Fault, ...] = Field(min_length=1)
    """In the order in which they are made; all are there at once."""
    level: Level | tuple[Level, ...]
    """Where the level settles while the faults are there; of several, any."""
    features: dict[str, FeatureState] = {}
    """What flag-service must answer then."""
    stale: bool = False
    """Whether consumers must say that nobody tells them the level any more."""
    within_s: float = Field(default=10, gt=0, le=300)
    """In which time, beyond what the policy in force needs to notice and decide."""
    hold_s: float = Field(default=1.5, ge=0, le=300)
    """How long the level must stay there."""
    times: int = Field(default=1, ge=1, le=20)
    """How often in a row, without waiting for calm between."""
    changes_at_most: int | None = Field(default=None, ge=0)
    """How often the level may change at a consumer while the faults are there."""

    @property
    def levels(self) -> tuple[Level, ...]:
        """The levels that are right."""
        return self.level if isinstance(self.level, tuple) else (self.level,)

    @property
    def is_single(self) -> bool:
        """Whether it is one fault, once."""
        return len(self.faults) == 1 and self.times == 1

    @property
    def needs_proxies(self) -> bool:
        """Whether the stack must have been started with proxies."""
        return any(fault.needs_proxies for fault in self.faults)

    @property
    def parts(self) -> frozenset[str]:
        """The parts that something is done to."""
        return frozenset(fault.part for fault in self.faults)

    @model_validator(mode="before")
    @classmethod
    def _by_name(cls, given: Any) -> Any:
        if isinstance(given, dict) and "level" in given:
            named = given["level"]
            many = [named] if isinstance(named, str) else list(named)
            unknown = [name for name in many if str(name) not in Level.__members__]
            if unknown:
                raise ValueError(f"{unknown[0]!r} is no level; levels are {', '.join(Level.__members__)}")
            levels = tuple(Level[name] for name in many)
            given = {**given, "level": levels[0] if isinstance(named, str) else levels}
        return given


class Table(BaseModel):
    """All experiments, each name once."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    experiments: tuple[Row, ...] = Field(min_length=1)

    @cached_property
    def by_name(self) -> dict[str, Row]:
        """The rows by name."""
        return {row.name: row for row in self.experiments}

    def chosen(self, names: Sequence[str]) -> list[Row]:
        """Return the rows of these names, in the order of the table; all when none is named.

        Raises:
            StackError: a name is unknown.
        """
        for name in names:
            if name not in self.by_name:
                raise StackError(
                    f"there is no experiment {name}", "see which there are with `resilience chaos run --list`"
                )
        return [row for row in self.experiments if not names or row.name in names]

    @model_validator(mode="after")
    def _has_each_name_once(self) -> Self:
        if len(self.by_name) != len(self.experiments):
            names = [row.name for row in self.experiments]
            raise ValueError(f"{next(n for n in names if names.count(n) > 1)!r} is there twice")
        return self


def load_table(path: Path = SHIPPED) -> Table:
    """Read a table.

    Raises:
        StackError: it is none; the message names the row and the rule.
    """
    try:
        return Table.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise StackError(f"{path} cannot be read ({error.strerror})", "name another file") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise StackError(f"{path} is no YAML ({reason})", "correct it") from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(step) for step in first["loc"]) or "the whole"
        raise StackError(
            f"{path} is no table of experiments ({where}: {first['msg']})", "correct that place"
        ) from error
