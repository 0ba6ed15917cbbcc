"""PostgreSQL: a query on the pooled connection, then one on a fresh connection.

The pooled one is what requests use; the fresh one is what a service needs after a restart, and fails alone
when connection slots or the authentication run out. asyncpg without SQLAlchemy: two statements need no
dialect, and 17 MB of memory less.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import asyncpg

from health_monitor.domain import ProbeError, of_sqlstate
from resilience_contracts import Outcome

from .connection import no_connection

QUERY = "SELECT 1"
SCHEMES = ("postgresql", "postgres")


class PostgresqlProbe:
    """Probe of PostgreSQL.

    Raises `ValueError` for a malformed address.

    Args:
        dsn: `postgresql://...`, with `sslmode` and `sslrootcert` for TLS; a SQLAlchemy driver suffix is accepted.
        deadline_s: bound of each step; the caller bounds the whole.
    """

    def __init__(self, dsn: str, deadline_s: float) -> None:
        self._dsn = dsn.replace("+asyncpg", "", 1)
        if urlsplit(self._dsn).scheme not in SCHEMES or urlsplit(self._dsn).port == 0:
            raise ValueError("not an address of PostgreSQL")
        self._deadline_s = deadline_s
        self._kept: asyncpg.Connection[Any] | None = None

    async def check(self) -> None:
        """Query the kept connection, opened if there is none, and a fresh one."""
        kept, self._kept = self._kept, None
        try:
            if kept is None or kept.is_closed():
                kept = await self._connect()
            await self._query(kept)
            await self._query_afresh()
        except asyncpg.PostgresError as error:
            raise _server_said(error) from None
        except OSError as error:  # before ValueError, which a certificate that is not trusted is too
            raise _no_answer(error) from None
        except (asyncpg.InterfaceError, asyncpg.InternalClientError, ValueError) as error:
            raise ProbeError(Outcome.PROTOCOL, type(error).__name__) from None
        else:
            self._kept, kept = kept, None
        finally:
            if kept:
                kept.terminate()

    async def close(self) -> None:
        """Drop the kept connection without waiting for the server."""
        if self._kept:
            self._kept.terminate()

    async def _connect(self) -> asyncpg.Connection[Any]:
        return await asyncpg.connect(
            self._dsn,
            timeout=self._deadline_s,
            command_timeout=self._deadline_s,
            statement_cache_size=0,
            server_settings={"application_name": "health-monitor"},
        )

    async def _query_afresh(self) -> None:
        fresh = await self._connect()
        try:
            await self._query(fresh)
            await fresh.close(timeout=self._deadline_s)
        finally:
            fresh.terminate()

    async def _query(self, connection: asyncpg.Connection[Any]) -> None:
        if await connection.fetchval(QUERY) != 1:
            raise ProbeError(Outcome.PROTOCOL, "wrong answer")


def _server_said(error: asyncpg.PostgresError) -> ProbeError:
    sqlstate = getattr(error, "sqlstate", None) or ""
    name = type(error).__name__
    # asyncpg gives class 08 to a connection that was lost: the server said nothing.
    if sqlstate.startswith("08") and not isinstance(error, asyncpg.ProtocolViolationError):
        return ProbeError(Outcome.REFUSED, name)
    return ProbeError(of_sqlstate(sqlstate), f"{name} ({sqlstate})")


def _no_answer(error: OSError) -> ProbeError:
    if "rejected SSL upgrade" in str(error):
        return ProbeError(
            Outcome.PROTOCOL, "no TLS, or not PostgreSQL"
        )  # asyncpg tells no refusal from nonsense
    # Without an error number it is asyncpg's own: either the connection was lost, or this is no PostgreSQL.
    if type(error) is ConnectionError and error.errno is None and "connection_lost" not in str(error):
        return ProbeError(Outcome.PROTOCOL, "not PostgreSQL")
    return no_connection(error)
