"""The outside: PostgreSQL, Redis, S3, OpenAI and Kafka behind the ports of the application."""

from __future__ import annotations
