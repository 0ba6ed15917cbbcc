"""MirrorMaker 2: copies levels, changes and holds of other regions' Kafkas into this one, each under its region's name.

One process at the reading end. It writes nothing at the other end, so that a region can be lost and come back.
"""

from __future__ import annotations

import re
import signal
from collections.abc import Mapping
from dataclasses import dataclass, field

from resilience_contracts import Regions, is_beneath
from resilience_contracts.region import MIRRORED

from .jars import MIRROR_MAKER, class_path
from .java import find_java
from .kafka import LOG
from .part import Place
from .process import Command

MIRROR = "mirror"
HERE = "here"
"""What this Kafka is called in the mirror's own settings."""
JVM = ("-Xmx192m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
SERVERS = re.compile(r"[A-Za-z0-9.-]+:[0-9]{1,5}(,[A-Za-z0-9.-]+:[0-9]{1,5})*")


@dataclass(frozen=True, slots=True)
class Region:
    """What a stack is in the world.

    `scope` is its name, `default` without one; `sources` are the Kafkas of other regions, by name.
    """

    scope: str | None = None
    sources: Mapping[str, str] = field(default_factory=dict)

    def env(self) -> dict[str, str]:
        """Return what its services are told of it."""
        env = {"RESILIENCE_SCOPE": self.scope} if self.scope else {}
        return env | ({"RESILIENCE_REGIONS": " ".join(self.sources)} if self.sources else {})


def region_from(scope: str | None, mirrors: list[str]) -> Region:
    """Read what a stack is among others.

    Args:
        scope: its name.
        mirrors: `REGION=HOST:PORT[,HOST:PORT]` for each other region whose Kafka is mirrored.

    Raises:
        ValueError: one is not like that, names this region, or this one has no name.
    """
    pairs = [each.partition("=") for each in mirrors]
    for name, _, servers in pairs:
        if not name or name == HERE or not SERVERS.fullmatch(servers):
            raise ValueError(f"{name}={servers}"[:80] + " is not like eu-north=10.0.0.7:9092")
        if scope is None:
            raise ValueError("set RESILIENCE_SCOPE to the name of this region")
        if scope == name or is_beneath(scope, name) or is_beneath(name, scope):
            raise ValueError(f"{name} is this region itself, or above or beneath it")
    Regions.parse(" ".join(name for name, _, _ in pairs))
    return Region(scope, {name: servers for name, _, servers in pairs})


@dataclass(frozen=True, slots=True)
class Mirror:
    """The process. It is ready once it runs: to wait for other regions would let one hold up another."""

    place: Place
    bootstrap: str
    sources: Mapping[str, str]
    name: str = MIRROR
    stop_signal: signal.Signals = signal.SIGTERM

    @property
    def port(self) -> int:
        """It listens nowhere."""
        return 0

    def prepare(self) -> Command:
        """Write its properties and say how to start it."""
        directory = self.place.data(self.name)
        directory.mkdir(parents=True, exist_ok=True)
        properties = directory / "mirror.properties"
        properties.write_text(self._properties(), encoding="utf-8")
        start = (str(find_java()), *JVM, *LOG, "-cp", class_path(MIRROR_MAKER))
        return Command(
            (*start, "org.apache.kafka.connect.mirror.MirrorMaker", str(properties)), cwd=directory
        )

    def talk(self) -> None:
        """Do nothing: a process that ended is noticed without."""

    def _properties(self) -> str:
        topics = "|".join(re.escape(topic) for topic in MIRRORED).replace("\\", "\\\\")
        lines = {"clusters": ",".join((*self.sources, HERE)), f"{HERE}.bootstrap.servers": self.bootstrap}
        for region, servers in self.sources.items():
            lines |= {
                f"{region}.bootstrap.servers": servers,
                f"{region}->{HERE}.enabled": "true",
                f"{region}->{HERE}.topics": topics,
                f"{HERE}->{region}.enabled": "false",
                # `resilience topics` declares them; offsets of groups are of no use here.
                f"{region}->{HERE}.sync.topic.configs.enabled": "false",
                f"{region}->{HERE}.sync.topic.acls.enabled": "false",
                f"{region}->{HERE}.sync.group.offsets.enabled": "false",
            }
        lines |= {
            "emit.heartbeats.enabled": "false",
            "emit.checkpoints.enabled": "false",
            "refresh.groups.enabled": "false",
            # All that it keeps is here: at the other end it only reads.
            "offset-syncs.topic.location": "target",
            "refresh.topics.interval.seconds": "10",
            "offset.flush.interval.ms": "5000",
            "tasks.max": "1",
            "dedicated.mode.enable.internal.rest": "false",
            "offset.storage.partitions": "1",
            "status.storage.partitions": "1",
        }
        lines |= dict.fromkeys(
            (
                "replication.factor",
                "offset-syncs.topic.replication.factor",
                "offset.storage.replication.factor",
                "status.storage.replication.factor",
                "config.storage.replication.factor",
            ),
            "1",
        )
        return "".join(f"{name}={value}\n" for name, value in lines.items())
