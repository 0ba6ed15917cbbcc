"""Which records of another region's topics count, and which never may."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resilience_contracts import Applied, Regions, Topic, View
from resilience_contracts.view import hold_tombstone
from tests.contracts.states import NOW, POLICY, hold_set

NORTH = Regions(("eu-north",))


def test_topics_of_other_regions_are_read_beside_those_that_they_mirror() -> None:
    read = Regions(("eu-north", "us")).topics((Topic.LEVELS, Topic.AUDIT))

    assert read == (Topic.LEVELS, Topic.AUDIT, "eu-north.resilience.levels.v1", "us.resilience.levels.v1")
    assert NORTH.home("eu-north.resilience.levels.v1") == Topic.LEVELS
    assert NORTH.home("us.resilience.levels.v1") == "us.resilience.levels.v1"
    assert Regions().topics((Topic.LEVELS,)) == (Topic.LEVELS,)


@pytest.mark.parametrize("topic", [Topic.LEVELS, Topic.LEVEL_CHANGES])
@pytest.mark.parametrize(
    ("mirrored", "key", "fault"),
    [
        (True, b"eu-north", None),
        (True, b"eu-north.s1", None),
        (True, b"eu-north2.s1", "'eu-north2.s1' is not of eu-north"),
        (True, b"eu-west.s1", "'eu-west.s1' is not of eu-north"),
        (True, None, "'' is not of eu-north"),
        (False, b"eu-west.s1", None),
        (False, b"eu-north.s1", "'eu-north.s1' is written in eu-north alone"),
    ],
)
def test_no_level_of_one_region_is_taken_from_another(
    topic: Topic, mirrored: bool, key: bytes | None, fault: str | None
) -> None:
    assert NORTH.fault(f"eu-north.{topic}" if mirrored else topic, key) == fault


def test_a_hold_may_come_from_anywhere_and_alone_nothing_is_refused() -> None:
    assert NORTH.fault(f"eu-north.{Topic.HOLDS}", b"eu-west.s1/level") is None
    assert NORTH.fault(Topic.HOLDS, b"eu-north/level") is None
    assert Regions().fault(Topic.LEVELS, b"eu-north") is None


@pytest.mark.parametrize(
    ("given", "names"),
    [("", ()), (" , ", ()), ("eu-north", ("eu-north",)), ("eu-north, us", ("eu-north", "us"))],
)
def test_names_are_read_from_one_line(given: str, names: tuple[str, ...]) -> None:
    assert Regions.parse(given).others == names
    assert Regions.parse(str(Regions.parse(given))) == Regions.parse(given)


@pytest.mark.parametrize("given", ["EU", "eu_north", "eu eu", "eu eu.west", "x" * 61, "eu/north"])
def test_what_is_no_list_of_regions_is_refused(given: str) -> None:
    with pytest.raises(ValueError, match=r"is not the name of a region|is there twice"):
        Regions.parse(given)


@given(order=st.permutations(["set", "edited", "end"]))
def test_a_hold_that_was_ended_in_another_region_stays_ended_in_any_order(order: list[str]) -> None:
    """Its records and its end lie in the topics of two regions, which are read side by side."""
    first, edited = hold_set(), hold_set(version=2, set_at=NOW + timedelta(seconds=1))
    view = View(POLICY)
    for step in order:
        if step == "end":
            view.end_hold(edited.key, hold_tombstone(edited).headers)
        else:
            view.apply_hold(first if step == "set" else edited)
    assert view.holds(NOW) == []

    view.end_hold(first.key, hold_tombstone(first).headers)
    assert view.apply_hold(edited) is Applied.OLDER, "an older end unsays no newer one"

    again = hold_set(set_at=NOW + timedelta(seconds=2))
    assert view.apply_hold(again) is Applied.CHANGED
    assert view.holds(NOW) == [again]
