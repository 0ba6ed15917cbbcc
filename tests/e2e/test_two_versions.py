"""Old and new version side by side on one database, as while a release goes out and when it is taken back.

The old version is a checkout of what was there before the newest migration.
"""

from __future__ import annotations

import os
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import httpx
import pytest

from inventory_api.migrations import newest_revision
from resilience_cli.stack import run_apart
from tests.bench.inventory_replicas import Replica
from tests.e2e.customers import LOCATION, ROUNDS, SKU, Customers, Line
from tests.e2e.shop import until
from tests.e2e.writer import violations
from tests.fixtures.stack import RunningStack, running_stack

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

ROOT = Path(__file__).parents[2]
MIGRATIONS = Path("services/inventory-api/src/inventory_api/migrations/versions")
PARTS = ("kafka", "postgresql", "redis", "s3")
"""Without an engine the level is unknown, and all that is asked here is served then."""
AUDIT_S = 0.5


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[RunningStack]:
    with running_stack(tmp_path, parts=PARTS) as stack:
        yield stack


@pytest.fixture
def before(tmp_path: Path) -> Path:
    """A checkout of the commit before the newest migration's; of HEAD while that is not committed yet."""
    if _git("rev-parse", "--is-shallow-repository") == "true":
        pytest.skip("NOT RUN: this clone has no earlier version; `git fetch --unshallow` gets it")
    newest = _newest(ROOT)
    added = _git("log", "--diff-filter=A", "--format=%H", "-1", "--", str(newest.relative_to(ROOT)))
    archive, folder = tmp_path / "before.tar", tmp_path / "before"
    commit = f"{added}^" if added else "HEAD"
    _git("archive", f"--output={archive}", commit, "shared", "services/inventory-api")
    with tarfile.open(archive) as file:
        file.extractall(folder, filter="data")
    return folder


@pytest.fixture
def old(stack: RunningStack, before: Path) -> Iterator[Replica]:
    sources = os.pathsep.join(map(str, before.glob("*/*/src")))  # before what is installed
    yield from _replica(stack, 1, PYTHONPATH=sources)


@pytest.fixture
def new(stack: RunningStack) -> Iterator[Replica]:
    yield from _replica(stack, 2)


def test_a_release_goes_out_and_is_taken_back_under_customers(
    stack: RunningStack, before: Path, old: Replica, new: Replica
) -> None:
    database = stack.env["DATABASE_URL"]
    old.start()
    open_shop(old.url)
    assert run_apart(schema(database)) == _newest(before).name[:4]

    with Customers(old.url) as customers:
        customers.go_on()
        assert audited(old) == {0.0}

        new.start()  # which migrates, while customers ask the old one
        until("the new schema", lambda: run_apart(schema(database)) == newest_revision())
        customers.turn_to(old.url, new.url)
        customers.go_on()
        freeze(stack, customers, {old.url, new.url})
        customers.go_on()

        customers.turn_to(new.url)
        assert old.stop() == 0
        customers.go_on()
        assert audited(new) == {0.0}

        old.start()
        customers.turn_to(old.url, new.url)
        customers.go_on()

        customers.turn_to(old.url)
        assert new.stop() == 0
        customers.go_on()
        assert audited(old) == {0.0}

    until("all that was accepted is applied", lambda: waiting(old.url) == 0)
    assert customers.wrong == []
    assert sum(buyer.refused for buyer in customers.buyers) > ROUNDS
    assert sum(len(buyer.lines) for buyer in customers.buyers) > ROUNDS
    assert run_apart(ledger(database)) == customers.lines
    assert run_apart(violations(database)) == {}


def open_shop(url: str) -> None:
    """Open the place of sale and add what is sold."""
    with httpx.Client(base_url=f"{url}/v1", timeout=5, trust_env=False) as api:

        def add(path: str, body: dict[str, str]) -> None:
            # A replica may be ready before its schema is.
            until(f"POST {path}", lambda: api.post(path, json=body).status_code in {201, 409})

        add("/locations", {"code": LOCATION, "name": "Shop"})
        add("/skus", {"sku": SKU, "name": "Tee"})


def freeze(stack: RunningStack, customers: Customers, urls: set[str]) -> None:
    """Freeze PostgreSQL until each replica has accepted a write for later, which any of them applies."""
    accepted = customers.supplier.later
    earlier = len(accepted)
    stack.pause("postgresql")
    until("writes that each accepts for later", lambda: set(accepted[earlier:]) == urls)
    stack.restore("postgresql")


def audited(replica: Replica) -> set[float]:
    """Return how much each audit of a replica that alone is up has found."""

    def found() -> set[float]:
        text = httpx.get(replica.metrics_url, timeout=5, trust_env=False).text
        lines = (line for line in text.splitlines() if line.startswith("inventory_audit_violations{"))
        return {float(line.rsplit(" ", 1)[1]) for line in lines}

    return until("an audit", lambda: found() or None)


def waiting(url: str) -> int | None:
    """Return how many accepted writes are not applied yet."""
    answer = httpx.get(f"{url}/v1/system/degradation", timeout=5, trust_env=False).raise_for_status()
    number: int | None = answer.json()["commands"]["waiting"]
    return number


async def schema(url: str) -> str:
    """Return the revision of the schema."""
    connection = await asyncpg.connect(url, timeout=10)
    try:
        return str(await connection.fetchval("SELECT version_num FROM alembic_version"))
    finally:
        await connection.close()


async def ledger(url: str) -> list[Line]:
    """Return what the ledger has."""
    connection = await asyncpg.connect(url, timeout=10)
    try:
        rows = await connection.fetch("SELECT reference, delta FROM ledger")
        return sorted((row["reference"], row["delta"]) for row in rows)
    finally:
        await connection.close()


def _replica(stack: RunningStack, number: int, **env: str) -> Iterator[Replica]:
    replica = Replica(stack, number, {"AUDIT_INTERVAL_S": str(AUDIT_S), **env})
    try:
        yield replica
    finally:
        replica.kill()


def _newest(checkout: Path) -> Path:
    return max((checkout / MIGRATIONS).glob("[0-9]*.py"))


def _git(*arguments: str) -> str:
    run = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    if run.returncode:
        raise RuntimeError(run.stderr.strip())
    return run.stdout.strip()
