"""Every setting of this service, from the environment."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, Field, SecretStr
from pydantic_settings import NoDecode

from inventory_api.domain.access import KeyScope
from resilience_contracts import Regions
from resilience_contracts.events import Scope
from resilience_runtime import HttpSettings, KafkaSettings, LogSettings, Port, RuntimeSettings


def _split(text: object) -> object:
    return [part.strip() for part in text.split(",") if part.strip()] if isinstance(text, str) else text


class Settings(HttpSettings, KafkaSettings, LogSettings, RuntimeSettings):
    """Deadlines of dependencies are not here: they are in the policy."""

    port: Port = 9000
    metrics_port: Port = 9100
    resilience_scope: Scope = "default"
    resilience_policy_file: Path | None = None
    resilience_regions: Annotated[Regions, NoDecode, BeforeValidator(Regions.parse)] = Regions()

    api_keys_file: Path | None = Field(default=None, description="digests of API keys and their scopes")
    anonymous_scopes: Annotated[frozenset[KeyScope], NoDecode, BeforeValidator(_split)] = Field(
        default=frozenset(), description="what a caller without a key may do; nothing by default"
    )
    rate_limit_per_s: float = Field(
        default=1000.0, gt=0, le=1_000_000, description="requests of one key, over all replicas"
    )
    cors_origins: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)] = Field(
        default=(), description="web pages that may call from a browser"
    )

    database_url: SecretStr = SecretStr("postgresql://inventory@127.0.0.1:5433/inventory")
    database_writers: int = Field(default=4, ge=1, le=64, description="transactions at once")
    database_readers: int = Field(default=4, ge=1, le=64, description="reads at once")
    database_queue_s: float = Field(default=5.0, gt=0, le=60, description="longest wait for one of them")
    redis_url: SecretStr = SecretStr("redis://127.0.0.1:6380/0")
    stock_soft_age_s: float = Field(
        default=1.0, ge=0, le=60, description="a cached number older is read again"
    )
    stock_hard_age_s: float = Field(
        default=900.0, gt=0, le=86_400, description="a last known value older is no answer"
    )
    stock_cached_skus: int = Field(default=2_000, ge=1, description="kept in this process, 2 kB each")
    commands_per_s: float = Field(default=200.0, gt=0, description="pace at which the command log is applied")
    commands_age_limit_s: float = Field(
        default=30.0, gt=0, description="while a command waits longer, the level does not return to OPTIMAL"
    )
    audit_interval_s: float = Field(default=60.0, gt=0, description="between two audits of the invariants")
    publish_capacity: int = Field(default=1000, ge=1, description="breaker reports kept while Kafka is away")
    ready_after_s: float = Field(
        default=10.0,
        ge=0,
        le=300,
        description="ready even if no level was heard by then: features as `unknown`",
    )

    stream_clients: int = Field(
        default=1_000, ge=1, le=100_000, description="most event streams open at once"
    )
    signing_key_file: Path | None = Field(
        default=None,
        description="what secrets of webhooks are made from, the same for all replicas; one alone makes its own",
    )
    webhook_allowed_networks: tuple[IPv4Network | IPv6Network, ...] = Field(
        default=(),
        description="private networks that webhooks may go to, there without TLS too, as a JSON list",
    )

    s3_endpoint_url: str | None = None
    s3_bucket: str = "inventory"
    aws_region: str = "eu-central-1"
    aws_access_key_id: SecretStr | None = None
    aws_secret_access_key: SecretStr | None = None
    openai_base_url: str | None = None
    openai_api_key: SecretStr | None = None
    openai_model: str = "gpt-4o-mini"
    openai_small_model: str = Field(
        default="gpt-4.1-nano", description="answers while the level spares OpenAI"
    )
