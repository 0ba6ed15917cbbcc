"""What an experiment leaves behind, and what it counts, when things do not go their way."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import httpx
import pytest

from resilience_chaos import run as running
from resilience_chaos import session as sessions
from resilience_chaos.faults import Site
from resilience_chaos.run import run_one
from resilience_chaos.session import Session
from resilience_chaos.shop import LOCATION, Goods
from resilience_chaos.table import load_table
from resilience_contracts import default_policy


def test_whatever_ends_the_toolkit_what_is_broken_is_mended(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    mended: list[str] = []
    under_way = Session(Site(tmp_path, cast("Any", None)), default_policy())
    under_way.mends.callback(lambda: mended.append("it"))
    monkeypatch.setitem(sessions._sessions, tmp_path, under_way)

    def end_at_once(*_: object, **__: object) -> None:
        raise SystemExit

    monkeypatch.setattr(running, "run_experiment", end_at_once)

    with pytest.raises(SystemExit):
        run_one(load_table().by_name["redis-kill"], tmp_path)

    assert mended == ["it"]
    assert under_way.ended


@pytest.mark.parametrize(
    ("told", "counted"),
    [
        ([{"location": LOCATION, "on_hand": 5, "reserved": 2}], {"received": 4, "units": 5, "reserved": 2}),
        ([], {"received": -1, "units": 0, "reserved": 0}),
        ([{"location": LOCATION, "on_hand": None, "availability": "IN"}], None),
    ],
)
def test_last_known_figures_are_not_counted(
    told: list[dict[str, Any]], counted: dict[str, int] | None
) -> None:
    answer = httpx.MockTransport(lambda _asked: httpx.Response(200, json={"locations": told}))

    with httpx.Client(transport=answer, base_url="http://shop") as client:
        if counted is None:
            with pytest.raises(ValueError, match="do not count"):
                Goods.new().counted(client)
        else:
            assert Goods.new().counted(client) == counted
