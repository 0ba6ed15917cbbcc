"""The probes this monitor knows: by the dependency's name in the policy, or by the scheme of its address.

A new kind of probe is one file in adapters/ and one row here; a new dependency over HTTP or TCP is an address
in `PROBES`. A driver is imported only for a probe that is configured: together they are half of this process's
memory.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

from pydantic import SecretStr

from .attempt import Probe
from .settings import Settings

Build = Callable[[Settings, str, float], Probe | None]
"""Takes the settings, a name for what is written, and the deadline in seconds; None: not configured."""


def _openai(settings: Settings, _mark: str, deadline_s: float) -> Probe | None:
    if settings.openai_base_url is None or settings.openai_api_key is None:
        return None
    from .adapters.openai import OpenaiProbe  # noqa: PLC0415

    key = settings.openai_api_key.get_secret_value()
    return OpenaiProbe(settings.openai_base_url, key, settings.openai_model, deadline_s)


def _postgresql(settings: Settings, _mark: str, deadline_s: float) -> Probe | None:
    if settings.database_url is None:
        return None
    from .adapters.postgresql import PostgresqlProbe  # noqa: PLC0415

    return PostgresqlProbe(settings.database_url.get_secret_value(), deadline_s)


def _redis(settings: Settings, mark: str, deadline_s: float) -> Probe | None:
    if settings.redis_url is None:
        return None
    from .adapters.redis import RedisProbe  # noqa: PLC0415

    return RedisProbe(settings.redis_url.get_secret_value(), mark, deadline_s)


def _s3(settings: Settings, mark: str, deadline_s: float) -> Probe | None:
    if settings.s3_bucket is None:
        return None
    from .adapters.s3 import Bucket, S3Probe  # noqa: PLC0415

    bucket = Bucket(
        settings.s3_bucket,
        settings.aws_region,
        settings.s3_endpoint_url,
        _plain(settings.aws_access_key_id),
        _plain(settings.aws_secret_access_key),
    )
    return S3Probe(bucket, mark, deadline_s)


def _http(address: str, deadline_s: float) -> Probe:
    from .adapters.http import HttpProbe  # noqa: PLC0415

    return HttpProbe(address, deadline_s)


def _tcp(address: str, _deadline_s: float) -> Probe:
    from .adapters.tcp import TcpProbe  # noqa: PLC0415

    return TcpProbe(address)


def _plain(secret: SecretStr | None) -> str | None:
    return secret.get_secret_value() if secret else None


@dataclass(frozen=True, slots=True)
class Entry:
    """How a probe is built, and the variables that switch it on."""

    build: Build
    variables: str


CATALOGUE = {
    "openai": Entry(_openai, "OPENAI_BASE_URL, OPENAI_API_KEY"),
    "postgresql": Entry(_postgresql, "DATABASE_URL"),
    "redis": Entry(_redis, "REDIS_URL"),
    "s3": Entry(_s3, "S3_BUCKET, S3_ENDPOINT_URL"),
}

BY_SCHEME: dict[str, Callable[[str, float], Probe]] = {"http": _http, "https": _http, "tcp": _tcp}
"""Takes the address and the deadline in seconds."""


def entry_of(settings: Settings, name: str) -> Entry:
    """Say how a dependency is probed: at its address in `PROBES`, else as its name tells."""
    address = settings.probes.get(name)
    if address is None:
        return CATALOGUE.get(name, Entry(_nothing, "PROBES"))
    written = f"PROBES ({name}=http://..., https://... or tcp://host:port)"
    return Entry(lambda _settings, _mark, deadline_s: at_address(address, deadline_s), written)


def at_address(address: SecretStr, deadline_s: float) -> Probe:
    """Build the probe of an address.

    Raises:
        ValueError: malformed, or of a scheme that no probe speaks.
    """
    text = address.get_secret_value()
    build = BY_SCHEME.get(urlsplit(text).scheme)
    if build is None:
        raise ValueError("no probe speaks this scheme")
    return build(text, deadline_s)


def _nothing(_settings: Settings, _mark: str, _deadline_s: float) -> None:
    """Nobody has said how to probe this one."""
