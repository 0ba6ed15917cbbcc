"""Who may do what in Kafka, as infra/kafka/acls.yaml declares it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from resilience_contracts import Topic, dead_letter_topic
from resilience_runtime.kafka.acls import EVERY_NAME, USER, Acl, Operation, Resource

from .errors import StackError


def _known(name: str) -> str:
    if name not in {EVERY_NAME, *Topic}:
        raise ValueError(f"{name} is no topic")
    return name


TopicName = Annotated[str, AfterValidator(_known)]
Principal = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]*$")]


class Rights(BaseModel):
    """What a principal may do."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    reads: tuple[TopicName, ...] = ()
    writes: tuple[TopicName, ...] = ()
    refuses: tuple[TopicName, ...] = ()
    mends: tuple[TopicName, ...] = ()
    groups: tuple[str, ...] = ()

    def acls(self, name: str) -> Iterator[Acl]:
        """Yield them as Kafka has them; some twice."""
        for topic in (*self.reads, *map(dead_letter_topic, self.mends)):
            yield Acl(USER + name, Operation.READ, Resource.TOPIC, topic)
        letters = map(dead_letter_topic, (*self.refuses, *self.mends))
        for topic in (*self.writes, *self.mends, *letters):
            yield Acl(USER + name, Operation.WRITE, Resource.TOPIC, topic)
        for group in self.groups:
            yield Acl(USER + name, Operation.READ, Resource.GROUP, group)


class Declarations(BaseModel):
    """The file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    principals: dict[Principal, Rights]


def declared_rights(path: Path | None = None) -> dict[str, Rights]:
    """Read the declarations, by principal.

    Raises:
        StackError: the file is missing or wrong.
    """
    source = path or _shipped()
    try:
        return Declarations.model_validate(yaml.safe_load(source.read_text(encoding="utf-8"))).principals
    except (OSError, yaml.YAMLError, ValidationError) as error:
        reason = " ".join(str(error).split())
        raise StackError(
            f"{source} declares no permissions ({reason})", "restore or mend the file"
        ) from error


def declared_acls() -> set[Acl]:
    """Return every declared permission.

    Raises:
        StackError: the file is missing or wrong.
    """
    return {acl for name, rights in declared_rights().items() for acl in rights.acls(name)}


def _shipped() -> Path:
    """Return the file inside the installed package, or beside its source."""
    here = Path(__file__).parent
    packed = here / "acls.yaml"
    return packed if packed.exists() else here.parents[2] / "kafka" / "acls.yaml"
