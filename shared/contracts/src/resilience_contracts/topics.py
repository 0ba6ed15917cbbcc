"""Names of the topics; partitions, retention and compaction are declared in infra/kafka/topics.yaml."""

from __future__ import annotations

from enum import StrEnum


class Topic(StrEnum):
    """Every topic of the system but the dead-letter topics, which are derived from these."""

    HEALTH = "resilience.health.v1"
    LEVELS = "resilience.levels.v1"
    LEVEL_CHANGES = "resilience.level-changes.v1"
    ENGINE_STATE = "resilience.engine-state.v1"
    HOLDS = "resilience.holds.v1"
    AUDIT = "resilience.audit.v1"
    WEBHOOKS = "resilience.webhooks.v1"
    COMMANDS = "inventory.commands.v1"
    STOCK = "inventory.stock.v1"
    CHANGES = "inventory.changes.v1"
    WRITES = "inventory.writes.v1"
    STOCK_WEBHOOKS = "inventory.webhooks.v1"


def dead_letter_topic(topic: str) -> str:
    """Name the topic that takes what could not be read from, or applied out of, `topic`."""
    return f"{topic}.dlq"
