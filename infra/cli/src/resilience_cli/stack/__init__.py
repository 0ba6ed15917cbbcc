"""The engine room: every part of the embedded stack, started, watched, broken and stopped."""

from __future__ import annotations

from .kafka import Kafka
from .openai import OpenAI
from .part import NotReadyError, Part, Place
from .postgresql import PostgreSQL
from .process import Command, ProcessRef, stop
from .redis import Redis
from .runner import Running, await_ready, destroy, halt, start
from .s3 import S3
from .sockets import free_ports, run_apart

__all__ = [
    "S3",
    "Command",
    "Kafka",
    "NotReadyError",
    "OpenAI",
    "Part",
    "Place",
    "PostgreSQL",
    "ProcessRef",
    "Redis",
    "Running",
    "await_ready",
    "destroy",
    "free_ports",
    "halt",
    "run_apart",
    "start",
    "stop",
]
