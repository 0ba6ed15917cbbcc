"""What a process that makes scheduled backups tells Prometheus."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from prometheus_client import CollectorRegistry, start_http_server

from resilience_runtime import Kind, Metric, Metrics

from .backup_folder import backups_in, newest
from .errors import StackError

NEWEST = Metric(
    "resilience_backup_newest_timestamp_seconds",
    Kind.GAUGE,
    "when the newest proved backup was begun; 0 while there is none",
)


def serve_age(host: str, port: int, folder: Path, now: Callable[[], datetime]) -> None:
    """Answer at an address, from a thread, until the process ends; the folder is read at each question.

    Raises:
        StackError: the address cannot be listened at.
    """
    metrics = Metrics(CollectorRegistry())
    metrics.declare(NEWEST)
    metrics.watch(NEWEST, lambda: newest_at_s(folder, now()))
    try:
        start_http_server(port, host, metrics.registry)
    except OSError as error:
        raise StackError(
            f"{host}:{port} cannot be listened at ({error.strerror})", "name another with --metrics"
        ) from error


def newest_at_s(folder: Path, now: datetime) -> float:
    """Return when the newest backup that counts was begun, in seconds of Unix time; 0 while there is none."""
    try:
        found = newest(backups_in(folder), now)
    except StackError:
        return 0.0
    return found.made_at.timestamp() if found else 0.0
