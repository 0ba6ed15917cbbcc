"""A migrated database for tests, and the store on it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random

from inventory_api.adapters.sql.database import Database, Limits, connect
from resilience_guards import BreakerSettings, CircuitBreaker

LIMITS = Limits(writers=4, readers=4, queue_s=30, deadline_s=2)


def migrate(url: str, revision: str = "head") -> None:
    subprocess.run(
        [sys.executable, "-m", "inventory_api.migrations", revision],
        env={**os.environ, "DATABASE_URL": url},
        check=True,
        timeout=60,
    )


@asynccontextmanager
async def opened(url: str, limits: Limits = LIMITS) -> AsyncIterator[Database]:
    settings = BreakerSettings(open_wait_s=0.2, open_wait_cap_s=0.2, minimum_calls=5, window_calls=50)
    breaker = CircuitBreaker("postgresql", settings, time.monotonic, Random(1))
    engine = connect(url, limits, "tests")
    try:
        yield Database(engine, breaker, limits)
    finally:
        await engine.dispose()
