"""The engine room: every part of the embedded stack, started, watched, broken and stopped."""

from __future__ import annotations

from resilience_cli.apart import run_apart

from .chaos import pause_part, restore_part, running_state, stop_part
from .engine_room import Stack, Wishes, stop_leftovers
from .kafka import Kafka
from .keeper import Ended
from .keys import operator_key
from .layout import BACKING, DEPENDENCIES, PARTS, SERVICES
from .mirror import MIRROR, Region, region_from
from .openai import OpenAI
from .part import NotReadyError, Part, Place
from .ports import Ports, ports_from, private_ports, variable_of
from .postgresql import PostgreSQL
from .process import Command, ProcessRef, stop
from .redis import Redis
from .runner import Running, await_ready, destroy, halt, start, tail_of
from .s3 import S3
from .sockets import free_ports
from .standby import STANDBY
from .state import PartState, StackState, Status, owned, read_state
from .steps import Done

__all__ = [
    "BACKING",
    "DEPENDENCIES",
    "MIRROR",
    "PARTS",
    "S3",
    "SERVICES",
    "STANDBY",
    "Command",
    "Done",
    "Ended",
    "Kafka",
    "NotReadyError",
    "OpenAI",
    "Part",
    "PartState",
    "Place",
    "Ports",
    "PostgreSQL",
    "ProcessRef",
    "Redis",
    "Region",
    "Running",
    "Stack",
    "StackState",
    "Status",
    "Wishes",
    "await_ready",
    "destroy",
    "free_ports",
    "halt",
    "operator_key",
    "owned",
    "pause_part",
    "ports_from",
    "private_ports",
    "read_state",
    "region_from",
    "restore_part",
    "run_apart",
    "running_state",
    "start",
    "stop",
    "stop_leftovers",
    "stop_part",
    "tail_of",
    "variable_of",
]
