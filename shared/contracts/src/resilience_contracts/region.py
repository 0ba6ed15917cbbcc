"""Other regions: whose topics are mirrored here under their name, and what may be in them.

A region is a scope with all that is beneath it, written by one Kafka with its engines. Topics of another one are read
beside the local ones and never written: `eu-north.resilience.levels.v1`, as MirrorMaker 2 names them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from .events import SCOPE_PATTERN
from .scope import is_beneath
from .topics import Topic

MIRRORED = (Topic.LEVELS, Topic.LEVEL_CHANGES, Topic.HOLDS)
OWNED = (Topic.LEVELS, Topic.LEVEL_CHANGES)
"""Topics with records of their region alone; a hold may be set anywhere."""
NAME_LENGTH = 60


@dataclass(frozen=True)
class Regions:
    """The other regions, by name."""

    others: tuple[str, ...] = ()

    @classmethod
    def parse(cls, given: object) -> Regions:
        """Read names with blanks or commas between them.

        Raises:
            ValueError: one is no scope, or two are the same or one beneath the other.
        """
        if isinstance(given, Regions):
            return given
        names = tuple(re.split(r"[ ,]+", str(given).strip(" ,"))) if str(given).strip(" ,") else ()
        for name in names:
            if len(name) > NAME_LENGTH or not re.match(SCOPE_PATTERN, name):
                raise ValueError(f"{name[:NAME_LENGTH]!r} is not the name of a region, as eu-west is")
            if names.count(name) > 1 or any(is_beneath(name, other) for other in names):
                raise ValueError(f"{name} is there twice, or beneath another one")
        return cls(names)

    def __str__(self) -> str:
        return " ".join(self.others)

    def topics(self, topics: Iterable[str]) -> tuple[str, ...]:
        """Return topics with those of other regions that belong to them."""
        wanted = tuple(topics)
        return (*wanted, *(name for name, (_, topic) in self._mirrors.items() if topic in wanted))

    def home(self, topic: str) -> str:
        """Return the local name of a topic."""
        return self._mirrors[topic][1] if topic in self._mirrors else topic

    def fault(self, topic: str, key: bytes | None) -> str | None:
        """Say why a record may not be in a topic: a region's level is written in that region alone."""
        region, home = self._mirrors.get(topic, (None, topic))
        if home not in OWNED or not self.others:
            return None
        scope = (key or b"").decode(errors="replace")
        owner = next((name for name in self.others if scope == name or is_beneath(scope, name)), None)
        if owner == region:
            return None
        return f"{scope!r} is not of {region}" if region else f"{scope!r} is written in {owner} alone"

    def concern(self, scope: str) -> bool:
        """Say whether a scope is of another region, or above one: then it is not this region's alone."""
        return any(
            scope == name or is_beneath(scope, name) or is_beneath(name, scope) for name in self.others
        )

    @cached_property
    def _mirrors(self) -> dict[str, tuple[str, str]]:
        return {f"{name}.{topic}": (name, str(topic)) for name in self.others for topic in MIRRORED}
