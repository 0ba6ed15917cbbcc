"""Settings of the flag service, from the environment."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, Field
from pydantic_settings import NoDecode

from resilience_contracts import Regions
from resilience_contracts.events import SCOPE_PATTERN
from resilience_runtime.settings import HttpSettings, KafkaSettings, LogSettings, Port, RuntimeSettings


class Settings(RuntimeSettings, LogSettings, HttpSettings, KafkaSettings):
    """What the flag service reads.

    Attributes:
        resilience_scope: the scope answered for when a caller names none.
        resilience_regions: other regions whose topics are mirrored here, with blanks between them.
        resilience_policy_file: a policy instead of the one that ships.
        api_keys_file: who may change holds; without it nobody may.
        rate_limit_per_s: requests of one caller that pass each second; twice as many at once.
        closed_reads: whoever reads needs a key with the scope `read` or `write`, and a stream a key or a token.
        stream_clients: most event streams open at once.
        signing_key_file: what secrets of webhooks are made from, the same for all replicas; a replica alone
            makes its own.
        webhook_allowed_networks: private networks that webhooks may go to, there without TLS too, as a JSON
            list.
        inventory_url: where inventory-api is, for the console to show its figures; without it they are not shown.
        inventory_api_key_file: a key with the scope `read` for it.
    """

    port: Port = 9001
    metrics_port: Port = 9101
    resilience_scope: Annotated[str, Field(pattern=SCOPE_PATTERN, max_length=100)] = "default"
    resilience_policy_file: Path | None = None
    resilience_regions: Annotated[Regions, NoDecode, BeforeValidator(Regions.parse)] = Regions()
    api_keys_file: Path | None = None
    rate_limit_per_s: Annotated[float, Field(gt=0, le=1_000_000)] = 1_000
    closed_reads: bool = False
    stream_clients: Annotated[int, Field(ge=1, le=100_000)] = 5_000
    signing_key_file: Path | None = None
    webhook_allowed_networks: tuple[IPv4Network | IPv6Network, ...] = ()
    inventory_url: Annotated[str, Field(pattern=r"^https?://", max_length=200)] | None = None
    inventory_api_key_file: Path | None = None
