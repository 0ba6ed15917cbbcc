"""Each promise is judged broken when it is, and kept when it is."""

from __future__ import annotations

import pytest

from resilience_chaos.promises import broken, is_in_doubt
from resilience_chaos.record import Call, Record, Sight
from resilience_chaos.timeline import timeline
from resilience_contracts import Level


def record(*calls: Call, sights: tuple[Sight, ...] = (), faulted: str = "redis", **stock: int) -> Record:
    counted = {"received": 0, "units": 8, "reserved": 0} | stock
    return Record("it", frozenset({faulted}), list(sights), list(calls), [], counted)


def sight(counter: int) -> Sight:
    return Sight("flag-service", 0.0, Level.OPTIMAL, (1, counter), stale=False)


def test_all_well_is_well() -> None:
    calls = (
        Call("receive", 0, 0.1, 201),
        Call("reserve", 0, 0.1, 201),
        Call("reserve", 0, 0.1, 409),
        Call("live", 0, 0.01, 200),
    )

    assert broken(record(*calls, sights=(sight(1), sight(2), sight(2)), received=1, reserved=1)) == []


@pytest.mark.parametrize(
    ("seen", "says"),
    [
        (record(sights=(sight(2), sight(1))), "went back"),
        (record(Call("receive", 0, 0.1, 202)), "1 receipts were accepted, 0 are in stock"),
        (record(received=1), "0 receipts were accepted, 1 are in stock"),
        (record(*[Call("reserve", 0, 0.1, 201)] * 9, reserved=9), "9 holds of 8 units"),
        (record(Call("reserve", 0, 0.1, 201)), "1 holds were granted, 0 units are reserved"),
        (record(Call("availability", 0, 0.9, 200)), "later than 0.50 s"),
        (record(Call("image", 0, 0.1, 500)), "got HTTP 500"),
        (record(Call("image", 0, 0.1, 500), faulted="inventory-api"), "got HTTP 500"),
        (record(Call("image", 0, 0.1, 0)), "got no answer"),
    ],
)
def test_what_is_not_kept_is_told(seen: Record, says: str) -> None:
    assert any(says in text for text in broken(seen)), broken(seen)


def test_a_busy_machine_is_no_slow_service_and_a_killed_one_need_not_answer() -> None:
    assert broken(record(Call("availability", 0, 0.9, 200), Call("live", 0, 0.3, 200))) == []
    assert broken(record(Call("image", 0, 30, 0), faulted="inventory-api")) == []


@pytest.mark.parametrize(
    ("call", "doubt"),
    [
        (Call("receive", 0, 1, 0), True),
        (Call("reserve", 0, 1, 503, "dependency_unavailable"), True),
        (Call("receive", 0, 3, 503, "feature_disabled"), True),
        (Call("reserve", 0, 1, 409), False),
        (Call("availability", 0, 1, 0), False),
    ],
)
def test_a_write_without_a_clear_answer_is_in_doubt(call: Call, doubt: bool) -> None:
    assert is_in_doubt(call) is doubt


def test_the_picture_shows_every_call_and_escapes_what_came_from_outside() -> None:
    seen = record(
        Call("image", 1, 0.1, 503, "<b>"),
        sights=(sight(1), Sight("flag-service", 2, Level.LIMITED, (1, 2), stale=False)),
    )

    drawn = timeline(seen)

    assert drawn.startswith("<svg")
    assert "image 503 &lt;b&gt; after 100 ms" in drawn
    assert timeline(Record("nothing")) == ""


def test_the_picture_shows_what_was_stale_and_when_nobody_answered() -> None:
    times = (0, 1, 2, 3, 9, 10)
    seen = [Sight("flag-service", at_s, Level.OPTIMAL, (1, 1), stale=at_s >= 2) for at_s in times]

    drawn = timeline(record(sights=tuple(seen)))

    assert drawn.count("<title>flag-service</title>") == 1
    assert drawn.count("<title>flag-service, stale</title>") == 2
