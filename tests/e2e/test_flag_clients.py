"""PostgreSQL is really taken away, and a storefront's JavaScript client learns it by itself."""

from __future__ import annotations

import pytest

from resilience_contracts import Level
from tests.contract.js_client import JsClient, Line, js_client
from tests.e2e.shop import Shop, until
from tests.fixtures.stack import RunningStack

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

RESERVATIONS = "inventory.reservations"


def at(stack: RunningStack, level: Level) -> None:
    shop = Shop(stack.url("inventory-api"), stack.url("flag-service"), stack.operator_key())

    def seen() -> bool | None:
        now = shop.level_at_flags()
        return True if (now.level, now.stale) == (level, False) else None

    try:
        until(f"flag-service at {level.name}", seen, 60)
    finally:
        shop.close()


async def until_value(client: JsClient, *, wanted: bool, after: int) -> Line:
    """Wait for words of the client that flags changed, until the flag has this value."""
    while True:
        line = await client.changed(after=after, wait_s=60)
        details = await client.ask("boolean", RESERVATIONS, fallback=not wanted)
        if details["value"] is wanted:
            return details
        after = client.lines.index(line) + 1


async def test_the_web_client_changes_by_itself_when_postgresql_dies_and_returns(
    quick_stack: RunningStack,
) -> None:
    at(quick_stack, Level.OPTIMAL)
    async with js_client("web", quick_stack.url("flag-service"), {"targetingKey": "shopper"}) as client:
        try:
            assert await client.value("boolean", RESERVATIONS, fallback=False) is True
            after = len(client.lines)

            quick_stack.stop("postgresql")
            lost = await until_value(client, wanted=False, after=after)
            after = len(client.lines)
        finally:
            quick_stack.restore("postgresql")
        back = await until_value(client, wanted=True, after=after)

    assert (lost["variant"], lost["flagMetadata"]["because"]) == ("disabled", "dependency")
    assert back["variant"] in {"enabled", "fallback"}
