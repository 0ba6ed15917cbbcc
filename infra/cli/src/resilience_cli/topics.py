"""The topics as infra/kafka/topics.yaml declares them, applied to and compared with a Kafka."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from resilience_contracts import Regions, dead_letter_topic
from resilience_runtime.kafka.access import KafkaAccess
from resilience_runtime.kafka.admin import (
    Drift,
    TopicsError,
    TopicSpec,
    apply_topics,
    check_topics,
    count_copies,
)

from .apart import run_apart
from .errors import KAFKA_AWAY, StackError

NO_OTHERS = Regions()


class Declared(BaseModel):
    """How a topic is to be."""

    model_config = ConfigDict(extra="forbid", frozen=True, coerce_numbers_to_str=True)

    partitions: int = Field(ge=1)
    config: dict[str, str]


class Declarations(BaseModel):
    """The file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    topics: dict[str, Declared]
    dead_letters: Declared

    def all(self) -> Mapping[str, Declared]:
        """Return every topic by name, dead letters included."""
        return self.topics | {dead_letter_topic(name): self.dead_letters for name in self.topics}


def declared_topics(replication: int = 1, path: Path | None = None) -> dict[str, TopicSpec]:
    """Read the declarations, by default those that ship.

    Raises:
        StackError: the file cannot be read.
    """
    source = path or _shipped()
    try:
        content: Any = yaml.safe_load(source.read_text(encoding="utf-8"))
        declared = Declarations.model_validate(content).all()
    except (OSError, yaml.YAMLError, ValidationError) as error:
        first = " ".join(line.strip() for line in str(error).splitlines()[:3])
        raise StackError(f"{source} declares no topics ({first})", "correct the file") from error
    return {name: TopicSpec(topic.partitions, replication, topic.config) for name, topic in declared.items()}


def with_mirrors(declared: Mapping[str, TopicSpec], regions: Regions) -> dict[str, TopicSpec]:
    """Return topics, and those of other regions that are mirrored, which are like the region's own."""
    return {name: declared[regions.home(name)] for name in regions.topics(declared)}


def apply_declared(
    kafka: KafkaAccess | str, replication: int = 1, regions: Regions = NO_OTHERS
) -> list[Drift]:
    """Create what is missing and correct what differs, for mirrors of other regions too; return what was done.

    Raises:
        StackError: Kafka is away or refuses.
    """
    return _run(kafka, apply_topics, replication, regions)


def drift_of_declared(kafka: KafkaAccess | str, regions: Regions = NO_OTHERS) -> list[Drift]:
    """Return what differs.

    Raises:
        StackError: Kafka is away or refuses.
    """
    return _run(kafka, check_topics, 1, regions)


def copies_of_declared(kafka: KafkaAccess) -> Mapping[str, int]:
    """Return for each declared topic that is there on how many brokers its scarcest partition is.

    Raises:
        StackError: Kafka is away or refuses.
    """
    try:
        return run_apart(count_copies(kafka, list(declared_topics())))
    except TopicsError as error:
        raise StackError(str(error), KAFKA_AWAY) from error


Work = Callable[[KafkaAccess | str, Mapping[str, TopicSpec]], Coroutine[Any, Any, list[Drift]]]


def _run(kafka: KafkaAccess | str, work: Work, replication: int, regions: Regions) -> list[Drift]:
    try:
        return run_apart(work(kafka, with_mirrors(declared_topics(replication), regions)))
    except TopicsError as error:
        raise StackError(str(error), KAFKA_AWAY) from error


def _shipped() -> Path:
    """Return the file inside the installed package, or beside its source."""
    here = Path(__file__).parent
    packed = here / "topics.yaml"
    return packed if packed.exists() else here.parents[2] / "kafka" / "topics.yaml"
