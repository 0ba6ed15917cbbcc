"""What a restore takes from a standby, on two real databases."""

from __future__ import annotations

import pytest

from resilience_cli.database import connected, name_of
from resilience_cli.replay import _COLUMNS, Replay, _tables
from resilience_cli.stack import run_apart
from resilience_runtime.kafka.access import KafkaAccess
from tests.cli.test_backup import FILL, execute
from tests.fixtures.services import new_database
from tests.inventory_api.databases import migrate

BACKED_UP_AT = 5
"""The position in the log of writes that the restored backup was made at."""
OVERWRITTEN = """
    UPDATE stock_levels SET on_hand = 8 WHERE id = 1;
    DELETE FROM redo;
    UPDATE redo_log SET next_offset = 5;
"""
ON_HAND = "SELECT on_hand FROM stock_levels WHERE id = 1"


@pytest.mark.parametrize(
    ("followed", "on_hand"),
    [
        pytest.param("UPDATE redo_log SET next_offset = 4", 8, id="stopped-before-the-backup"),
        pytest.param("UPDATE redo_log SET next_offset = 5", 7, id="follows"),
    ],
)
async def test_a_standby_that_stopped_following_puts_nothing_over_newer_rows(
    database_url: str, followed: str, on_hand: int
) -> None:
    migrate(database_url)
    run_apart(execute(database_url, FILL))
    with new_database(database_url, name_of(database_url)) as standby_url:
        run_apart(execute(standby_url, followed))
        run_apart(execute(database_url, OVERWRITTEN))
        async with connected(database_url) as restored, connected(standby_url) as standby:
            replay = Replay(restored, KafkaAccess("127.0.0.1:9"))
            replay._tables = _tables(await restored.fetch(_COLUMNS))
            replay._lineage = await restored.fetchval("SELECT lineage FROM redo_log")
            replay._backed_up_at = BACKED_UP_AT
            await replay._consumer.stop()  # which was never started

            await replay.take_over(standby)

            assert await standby.fetchval("SELECT count(*) FROM redo") > 0
            assert await restored.fetchval(ON_HAND) == on_hand
