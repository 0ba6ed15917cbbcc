"""What inventory-api depends on, prepared from the settings: the four clients, each behind its breaker."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import SecretStr
from redis.asyncio import Redis

from inventory_api.adapters import cache
from inventory_api.adapters.breakers import Returning, deadline_s
from inventory_api.adapters.images import Bucket, S3Images
from inventory_api.adapters.sql.database import Database, Limits, connect
from inventory_api.adapters.writer import Model, OpenAIWriter
from inventory_api.settings import Settings
from resilience_contracts import Policy
from resilience_guards import CircuitBreaker
from resilience_runtime import Clock


@dataclass(frozen=True, slots=True)
class Outside:
    """The adapters, connected to nothing yet."""

    database: Database
    redis: Redis
    shared: cache.RedisStockCache
    images: S3Images
    writer: OpenAIWriter

    async def close(self) -> None:
        """Let go of all of them."""
        await self.shared.close()
        self.images.close()
        await self.writer.close()
        await self.database.close()


def build_outside(settings: Settings, policy: Policy, breakers: Mapping[str, CircuitBreaker]) -> Outside:
    """Prepare the clients; deadlines are the policy's."""
    limits = Limits(
        settings.database_writers,
        settings.database_readers,
        settings.database_queue_s,
        deadline_s(policy, "postgresql"),
    )
    engine = connect(settings.database_url.get_secret_value(), limits, settings.instance)
    redis = cache.connect(settings.redis_url.get_secret_value(), deadline_s(policy, "redis"))
    bucket = Bucket(
        settings.s3_endpoint_url,
        settings.s3_bucket,
        settings.aws_region,
        _revealed(settings.aws_access_key_id),
        _revealed(settings.aws_secret_access_key),
    )
    model = Model(
        settings.openai_base_url,
        _revealed(settings.openai_api_key),
        settings.openai_model,
        settings.openai_small_model,
    )
    return Outside(
        Database(engine, breakers["postgresql"], limits),
        redis,
        cache.RedisStockCache(redis, breakers["redis"], settings.stock_hard_age_s),
        S3Images(bucket, breakers["s3"], deadline_s(policy, "s3")),
        OpenAIWriter(model, breakers["openai"], deadline_s(policy, "openai")),
    )


def watch_return(outside: Outside, breakers: Mapping[str, CircuitBreaker], clock: Clock) -> list[Returning]:
    """Return the tasks that call a dependency while nobody else does."""
    checks = {
        "postgresql": outside.database.check,
        "redis": outside.shared.check,
        "s3": outside.images.check,
        "openai": outside.writer.check,
    }
    return [Returning(breakers[name], check, clock) for name, check in checks.items()]


def refused_by_content(error: Exception) -> bool:
    """Say whether OpenAI refused what was asked, and is well itself."""
    return getattr(error, "status_code", None) == 400  # noqa: PLR2004 - HTTP: the request, not the service


def _revealed(secret: SecretStr | None) -> str | None:
    return secret.get_secret_value() if secret else None
