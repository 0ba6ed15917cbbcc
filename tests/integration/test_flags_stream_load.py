"""A short sample of `python -m tests.bench flags_stream`: many streams, some of which nobody reads."""

from __future__ import annotations

from pathlib import Path

from resilience_cli.stack import run_apart
from resilience_cli.topics import apply_declared
from tests.bench.flags_stream import RSS_BOUND_MB, service

CLIENTS, CHANGES = 300, 5
P99_BOUND_S = 2.0
"""Of a suite that shares two cores; the bench asks for 1 s with 5,000 clients."""


def test_a_change_reaches_every_stream_that_is_read(kafka_bootstrap: str, tmp_path: Path) -> None:
    apply_declared(kafka_bootstrap)

    found = run_apart(service(kafka_bootstrap, tmp_path, CLIENTS, CHANGES))

    assert len(found.latencies_s) == CLIENTS * CHANGES
    assert found.quantile_s(99) < P99_BOUND_S
    assert found.rss_mb < RSS_BOUND_MB / 2
