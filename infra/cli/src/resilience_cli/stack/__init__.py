"""The engine room: every part of the embedded stack, started, watched, broken and stopped."""

from __future__ import annotations

from .kafka import Kafka
from .part import NotReadyError, Part, Place
from .process import Command, ProcessRef
from .runner import Running, await_ready, destroy, halt, start
from .sockets import free_ports

__all__ = [
    "Command",
    "Kafka",
    "NotReadyError",
    "Part",
    "Place",
    "ProcessRef",
    "Running",
    "await_ready",
    "destroy",
    "free_ports",
    "halt",
    "start",
]
