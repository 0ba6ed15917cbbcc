"""The topics as infra/kafka/topics.yaml declares them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from resilience_cli.errors import StackError
from resilience_cli.stack.sockets import run_apart
from resilience_contracts import dead_letter_topic


class Declared(BaseModel):
    """How a topic is to be."""

    model_config = ConfigDict(extra="forbid", frozen=True, coerce_numbers_to_str=True)

    partitions: int = Field(ge=1)
    replication: int = Field(default=1, ge=1)
    config: dict[str, str]


class Declarations(BaseModel):
    """The file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    topics: dict[str, Declared]
    dead_letters: Declared

    def all(self) -> Mapping[str, Declared]:
        """Return every topic by name, dead letters included."""
        return self.topics | {dead_letter_topic(name): self.dead_letters for name in self.topics}


def declared_topics(path: Path | None = None) -> Mapping[str, Declared]:
    """Read the declarations, by default those that ship.

    Raises:
        StackError: the file cannot be read.
    """
    source = path or _shipped()
    try:
        content: Any = yaml.safe_load(source.read_text(encoding="utf-8"))
        return Declarations.model_validate(content).all()
    except (OSError, yaml.YAMLError, ValidationError) as error:
        first = str(error).splitlines()[:3]
        raise StackError(f"{source} declares no topics ({' '.join(first)})", "correct the file") from error


def apply_declared(bootstrap: str) -> None:
    """Create what is missing."""
    run_apart(_create(bootstrap))


async def _create(bootstrap: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        there = set(await admin.list_topics())
        new = [
            NewTopic(name, declared.partitions, declared.replication, topic_configs=declared.config)
            for name, declared in declared_topics().items()
            if name not in there
        ]
        if new:
            await admin.create_topics(new)
    finally:
        await admin.close()


def _shipped() -> Path:
    """Return the file inside the installed package, or beside its source."""
    here = Path(__file__).parent
    packed = here / "topics.yaml"
    return packed if packed.exists() else here.parents[2] / "kafka" / "topics.yaml"
