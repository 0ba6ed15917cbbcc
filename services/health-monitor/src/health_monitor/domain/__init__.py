"""What a probe's result means and when the next one is due: pure."""

from __future__ import annotations

from .outcome import ProbeError, Result, of_http_status, of_redis_reply, of_s3_code, of_sqlstate, seconds_of
from .rota import Rota
from .schedule import Schedule, phase_s
from .window import Window

__all__ = [
    "ProbeError",
    "Result",
    "Rota",
    "Schedule",
    "Window",
    "of_http_status",
    "of_redis_reply",
    "of_s3_code",
    "of_sqlstate",
    "phase_s",
    "seconds_of",
]
