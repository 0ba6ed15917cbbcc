"""A server that says good-bye to an idle connection, whose end comes later, is away like one that is gone."""

from __future__ import annotations

import asyncpg
import pytest

from inventory_api.adapters.sql.database import against
from inventory_api.adapters.sql.session import watched

IN_USE = "cannot switch to state 12; another operation (2) is in progress"


class Idle:
    """A connection that got an ErrorResponse and nothing more."""

    terminated = False

    async def fetch(self, *_: object, **__: object) -> object:
        raise asyncpg.InternalClientError(IN_USE)

    def terminate(self) -> None:
        self.terminated = True


def test_what_asyncpg_makes_of_it_speaks_against_the_server() -> None:
    assert against(asyncpg.InternalClientError(IN_USE))


@pytest.mark.parametrize("error", [asyncpg.InvalidPasswordError, asyncpg.ReadOnlySQLTransactionError])
def test_a_changed_password_and_a_server_that_only_lets_read_speak_against_it(
    error: type[asyncpg.PostgresError],
) -> None:
    assert against(error("told so"))


async def test_the_connection_is_not_used_again() -> None:
    idle = Idle()

    with pytest.raises(asyncpg.InternalClientError):
        async with watched(idle, 1, single=True) as session:  # type: ignore[arg-type]
            await session._connection.fetch("SELECT 1")

    assert idle.terminated
