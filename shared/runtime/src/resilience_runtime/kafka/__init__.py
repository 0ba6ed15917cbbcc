"""The bus on Apache Kafka."""

from __future__ import annotations

from .access import KafkaAccess, SaslMechanism, SecurityProtocol
from .admin import TopicSpec, apply_topics, check_topics
from .dead_letters import DeadLetters
from .publisher import KafkaPublisher
from .replica import ReplicaReader

__all__ = [
    "DeadLetters",
    "KafkaAccess",
    "KafkaPublisher",
    "ReplicaReader",
    "SaslMechanism",
    "SecurityProtocol",
    "TopicSpec",
    "apply_topics",
    "check_topics",
]
