"""Bring the database of DATABASE_URL to a revision (default: the newest), one process at a time.

A process of its own: Alembic and its templates never burden the memory of the service.
"""

from __future__ import annotations

import argparse
import asyncio
import os
from importlib import resources
from random import uniform

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, NullPool, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from inventory_api.adapters.sql.url import engine_on

LOCK = 7_267_001
"""Advisory lock that replicas starting together queue on."""
LOCK_MS = 100
"""A migration waits no longer for a table: whoever comes then waits behind it. It lets go of those it has, too, and so
meets nobody who takes tables in another order."""
PAUSE_S = (0.1, 0.5)
"""Before it tries again; shortest and longest."""
_LOCK_NOT_AVAILABLE = "55P03"


def main() -> None:
    """Read the arguments and migrate."""
    parser = argparse.ArgumentParser(prog="python -m inventory_api.migrations", description=__doc__)
    parser.add_argument(
        "revision", nargs="?", default="head", help="a revision (a lower one migrates down), `base` or `head`"
    )
    arguments = parser.parse_args()
    asyncio.run(migrate(os.environ["DATABASE_URL"], arguments.revision))


async def migrate(url: str, revision: str = "head") -> None:
    """Migrate up or down to a revision."""
    engine = engine_on(url, pool={"poolclass": NullPool})
    try:
        async with engine.connect() as connection:
            await connection.execute(text("SELECT pg_advisory_lock(:lock)"), {"lock": LOCK})
            await connection.execute(text(f"SET lock_timeout = {LOCK_MS}"))
            # Not for a standby that is away, with the tables' locks in hand.
            await connection.execute(text("SET synchronous_commit = local"))
            await connection.commit()
            await _patiently(connection, revision)
    finally:
        await engine.dispose()


async def _patiently(connection: AsyncConnection, revision: str) -> None:
    """Migrate, again while others have a table; a migration that was done by then stays done."""
    while True:
        try:
            await connection.run_sync(_run, revision)
            await connection.commit()
        except DBAPIError as error:
            if getattr(error.orig, "sqlstate", None) != _LOCK_NOT_AVAILABLE:
                raise
            await connection.rollback()
            await asyncio.sleep(uniform(*PAUSE_S))  # noqa: S311 - spreads attempts, guards nothing
        else:
            return


def _run(connection: Connection, revision: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(resources.files("inventory_api").joinpath("migrations")))
    config.attributes["connection"] = connection
    if revision == "base" or revision < _current(connection):
        command.downgrade(config, revision)
    else:
        command.upgrade(config, revision)


def _current(connection: Connection) -> str:
    found = connection.execute(text("SELECT to_regclass('alembic_version') IS NOT NULL")).scalar_one()
    current = connection.execute(text("SELECT version_num FROM alembic_version")).scalar() if found else None
    connection.commit()
    return str(current or "")


if __name__ == "__main__":
    main()
