"""The address of the database, and an engine on it."""

from __future__ import annotations

from typing import Any

import asyncpg
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine


def engine_on(url: str, *, pool: dict[str, Any], **options: Any) -> AsyncEngine:
    """Prepare a pool; nothing is connected before it is used.

    asyncpg itself reads the address, as it does wherever SQLAlchemy is not in between: SQLAlchemy would hand on
    `sslmode` and `sslrootcert` as arguments, which asyncpg does not have.

    Args:
        url: `postgresql://...`, with asyncpg's parameters.
        pool: arguments of SQLAlchemy's engine.
        options: arguments of asyncpg's `connect`.
    """

    async def connect() -> asyncpg.Connection[Any]:
        connection: asyncpg.Connection[Any] = await asyncpg.connect(url, **options)
        return connection

    return create_async_engine("postgresql+asyncpg://", async_creator=connect, **pool)
