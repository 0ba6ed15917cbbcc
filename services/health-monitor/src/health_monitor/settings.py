"""Every setting of this service, from the environment."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import NoDecode

from resilience_contracts.events import DependencyName, Scope
from resilience_runtime import HttpSettings, KafkaSettings, LogSettings, Port, RuntimeSettings


class Settings(HttpSettings, KafkaSettings, LogSettings, RuntimeSettings):
    """A dependency whose address is not set is not probed, and the log says so."""

    port: Port = 9002
    metrics_port: Port = 9102
    resilience_scope: Scope = "default"
    resilience_policy_file: Path | None = None

    probes: Annotated[dict[DependencyName, SecretStr], NoDecode] = Field(
        default={},
        description="`name=address`, separated by spaces; an address is http://, https:// or tcp://",
    )
    disabled_probes: Annotated[tuple[str, ...], NoDecode] = ()
    probe_slots: int = Field(default=4, ge=1, le=64, description="probes at once")
    publish_capacity: int = Field(default=1000, ge=1, description="events kept while Kafka is away")

    openai_base_url: str | None = None
    openai_api_key: SecretStr | None = None
    openai_model: str = "gpt-4o-mini"
    database_url: SecretStr | None = None
    redis_url: SecretStr | None = None
    s3_endpoint_url: str | None = None
    s3_bucket: str | None = None
    aws_region: str = "eu-central-1"
    aws_access_key_id: SecretStr | None = None
    aws_secret_access_key: SecretStr | None = None

    @field_validator("disabled_probes", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        return tuple(name.strip() for name in value.split(",") if name.strip())

    @field_validator("probes", mode="before")
    @classmethod
    def _addresses(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        entries = [entry.partition("=") for entry in value.split()]
        if not all(name and address for name, _, address in entries):
            raise ValueError("write name=address, separated by spaces")
        if len({name for name, _, _ in entries}) < len(entries):
            raise ValueError("a name is written twice")
        return {name: address for name, _, address in entries}
