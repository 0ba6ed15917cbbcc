"""Flags as bytes: written once, joined for every caller, without holding up the loop."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from flag_service.domain.flags import FlagCatalogue, Sheet
from flag_service.domain.picture import draw
from flag_service.http.rendered import RenderedSheet
from resilience_contracts import FlagRule, Level, Policy, View
from tests.contracts.states import NOW, POLICY, level_state

SPLIT: dict[str, Any] = {"targeting": [{"serve": {"on": 50, "off": 50}}]}


def rendered(count: int, rule: dict[str, Any]) -> RenderedSheet:
    base = {"variants": {"on": True, "off": False}, "default": "on", "off": "off"}
    flags = {f"shop.f{number}": FlagRule.model_validate(base | rule) for number in range(count)}
    policy: Policy = POLICY.model_copy(update={"flags": flags})
    view = View(policy)
    view.apply_level(level_state(Level.OPTIMAL))
    return RenderedSheet(Sheet(FlagCatalogue(policy), draw(view, "default", NOW)), {"metadata": {}})


async def test_ten_thousand_flags_leave_the_loop_its_turns() -> None:
    sheet = rendered(10_000, SPLIT)
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    beside = asyncio.create_task(others())
    await asyncio.sleep(0)
    turns = 0
    document = await sheet.all({"targetingKey": "u"})
    beside.cancel()

    assert len(json.loads(document.body)["flags"]) == 10_034
    assert turns >= 15


async def test_what_every_caller_gets_alike_is_one_document() -> None:
    alike, own = rendered(3, {}), rendered(3, SPLIT)

    assert await alike.all({"targetingKey": "u"}) is await alike.all({"targetingKey": "v"})
    assert len({(await own.all({"targetingKey": f"u{n}"})).tag for n in range(50)}) == 2**3


async def test_all_is_each_joined() -> None:
    sheet = rendered(3, SPLIT)
    context = {"targetingKey": "u"}

    flags = json.loads((await sheet.all(context)).body)["flags"]

    assert [json.loads(sheet.one(key, context)) for key in sheet.sheet.catalogue] == flags
