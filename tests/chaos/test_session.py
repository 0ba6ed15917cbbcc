"""What an experiment leaves behind, and what it counts, when things do not go their way."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import httpx
import pytest

from resilience_chaos import run as running
from resilience_chaos import session as sessions
from resilience_chaos.faults import Site
from resilience_chaos.probes import _stands
from resilience_chaos.record import Moment, Record, Sight
from resilience_chaos.run import run_one
from resilience_chaos.session import Session
from resilience_chaos.shop import LOCATION, Goods
from resilience_chaos.table import load_table
from resilience_chaos.watch import Watch
from resilience_contracts import Level, default_policy


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
    ("level", "stale", "faulted", "stands"),
    [
        (Level.DEGRADED, False, "s3", True),
        (Level.DEGRADED, True, "s3", False),
        (Level.OPTIMAL, False, "s3", False),
        (Level.OPTIMAL, True, "kafka:inventory-api", True),
        (Level.DEGRADED, False, "kafka:inventory-api", False),
    ],
)
def test_a_consumer_follows_the_level_and_one_that_is_cut_from_kafka_says_that_it_does_not_know_it(
    level: Level, stale: bool, faulted: str, stands: bool, tmp_path: Path
) -> None:
    seen = Record("it", frozenset({faulted}))
    under_way = Session(Site(tmp_path, cast("Any", None)), default_policy())
    under_way.watch = Watch({}, under_way.goods, seen)
    seen.sights.append(Sight("inventory-api", under_way.watch.now_s, level, (1, 1), stale))

    assert _stands(under_way, "inventory-api", {Level.DEGRADED}, stale=False) is stands


@pytest.mark.parametrize(("seen_s", "stands"), [(-0.1, False), (0.1, True)])
def test_what_was_seen_before_the_last_fault_tells_nothing_of_it(
    seen_s: float, stands: bool, tmp_path: Path
) -> None:
    seen = Record("it", frozenset({"s3"}))
    under_way = Session(Site(tmp_path, cast("Any", None)), default_policy())
    under_way.watch = Watch({}, under_way.goods, seen)
    now_s = under_way.watch.now_s
    seen.moments += [Moment(at_s, "fault", "s3 blackhole") for at_s in (now_s - 9, now_s)]
    seen.sights.append(Sight("inventory-api", now_s + seen_s, Level.DEGRADED, (1, 1), stale=False))

    assert _stands(under_way, "inventory-api", {Level.DEGRADED}, stale=False) is stands


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
