"""Logs of a simulated shop, and the command run over them."""

from __future__ import annotations

import io
from collections.abc import Iterable
from contextlib import redirect_stderr, redirect_stdout
from datetime import datetime, timedelta
from pathlib import Path

from resilience_cli.main import run
from resilience_cli.policy_log import Entry, line_of_entry
from resilience_contracts import HealthObserved, decode, encode
from tests.cli.command import Called
from tests.degradation_engine.shop import Shop

SOURCE = "/services/health-monitor/monitor-1"


def call(*words: object) -> Called:
    """Run `resilience policy ...` in this process."""
    stdout, stderr = io.StringIO(), io.StringIO()
    with redirect_stdout(stdout), redirect_stderr(stderr):
        code = run(["policy", *map(str, words)])
    return Called(code, stdout.getvalue(), stderr.getvalue())


def entry(event: HealthObserved, stored_at: datetime | None = None) -> Entry:
    """An event as the log has it, stored when it was observed unless told otherwise."""
    record = encode(event, SOURCE)
    return Entry(decode(record.value, record.headers), event, stored_at or event.observed_at)


def write(path: Path, events: Iterable[HealthObserved]) -> Path:
    path.write_bytes(b"".join(line_of_entry(entry(event)) for event in events))
    return path


def shop_with_outages(*outages: tuple[str, float]) -> Shop:
    """A shop that is well for a minute, and then after each outage of so many seconds for ten."""
    shop = Shop()
    shop.run(60)
    for dependency, seconds in outages:
        shop.down = {dependency}
        shop.run(seconds)
        shop.down = set()
        shop.run(600)
    return shop


def moved(event: HealthObserved, by: timedelta) -> HealthObserved:
    """The same event at another time."""
    assert event.probe is not None
    recent = tuple(seen.model_copy(update={"at": seen.at + by}) for seen in event.probe.recent)
    return event.model_copy(
        update={
            "observed_at": event.observed_at + by,
            "probe": event.probe.model_copy(update={"recent": recent}),
        }
    )
