from __future__ import annotations

import math

import pytest

from degradation_engine.domain.outage import Lengths, Outages, follow
from degradation_engine.domain.sighting import Run

MINUTE_MS = 60_000
MERGE_MS = 2 * MINUTE_MS


def misses(count: float, since_ms: int, *, auth: bool = False, cut: bool = False) -> Run:
    return Run(misses=count, hits=0, since_ms=since_ms, auth=auth, cut=cut)


def hits(count: int, since_ms: int) -> Run:
    return Run(misses=0, hits=count, since_ms=since_ms, auth=False, cut=False)


def outage(start_min: float, end_min: float, before: Outages | None = None, *, auth: bool = False) -> Outages:
    start_ms, end_ms = round(start_min * MINUTE_MS), round(end_min * MINUTE_MS)
    opened = follow(before or Outages(), misses(3, start_ms, auth=auth), down=True, merge_ms=MERGE_MS)
    return follow(opened, hits(3, end_ms), down=False, merge_ms=MERGE_MS)


def test_an_outage_lasts_from_its_first_miss_to_the_first_of_three_hits() -> None:
    closed = outage(10, 17)

    assert closed.last is not None
    assert (closed.last.start_ms, closed.last.end_ms) == (10 * MINUTE_MS, 17 * MINUTE_MS)
    assert closed.learned() == Lengths(1, math.log(7), 0.0)


def test_unconfirmed_misses_open_nothing() -> None:
    assert follow(Outages(), misses(2, 0), down=False, merge_ms=MERGE_MS) == Outages()


def test_two_hits_close_nothing() -> None:
    opened = follow(Outages(), misses(3, 0), down=True, merge_ms=MERGE_MS)

    assert follow(opened, hits(2, MINUTE_MS), down=True, merge_ms=MERGE_MS) == opened


def test_outages_closer_together_than_the_promotion_dwell_are_one() -> None:
    both = outage(6.5, 12, outage(1, 5))

    assert both.last is not None
    assert both.last.start_ms == MINUTE_MS
    assert both.learned().count == 1
    assert both.learned().mean == pytest.approx(math.log(11))


def test_outages_further_apart_are_two() -> None:
    both = outage(10, 14, outage(1, 5))

    assert both.learned().count == 2


def test_bad_credentials_are_no_lesson_in_outages() -> None:
    assert outage(1, 5, auth=True).learned().count == 0


def test_credentials_found_bad_during_an_outage_take_it_out_of_the_history() -> None:
    opened = follow(Outages(), misses(3, 0), down=True, merge_ms=MERGE_MS)
    turned = follow(opened, misses(4, 0, auth=True), down=True, merge_ms=MERGE_MS)

    assert follow(turned, hits(3, MINUTE_MS), down=False, merge_ms=MERGE_MS).learned().count == 0


def test_an_outage_that_began_before_anybody_looked_is_no_lesson() -> None:
    opened = follow(Outages(), misses(12, 0, cut=True), down=True, merge_ms=MERGE_MS)

    assert follow(opened, hits(3, MINUTE_MS), down=False, merge_ms=MERGE_MS).learned().count == 0


def test_an_open_outage_is_no_lesson_yet() -> None:
    opened = follow(outage(1, 5), misses(3, 60 * MINUTE_MS), down=True, merge_ms=MERGE_MS)

    assert opened.learned().count == 1
