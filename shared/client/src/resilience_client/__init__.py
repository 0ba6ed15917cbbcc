"""Follow the level of a scope and the state of its features, from another service.

`KafkaSource` is in `resilience_client.kafka` (extra `kafka`), `FeatureGate` in `resilience_client.gate`
(extra `fastapi`).
"""

from __future__ import annotations

from .errors import ClientError, FeatureRefusedError, UnknownFeatureError
from .feed import LevelFeed, Source
from .sse import SseSource

__all__ = [
    "ClientError",
    "FeatureRefusedError",
    "LevelFeed",
    "Source",
    "SseSource",
    "UnknownFeatureError",
]
