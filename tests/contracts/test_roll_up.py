"""The rule by which a region's level follows from those beneath, and what a policy may say of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resilience_contracts import Level, PolicyError, default_policy_text, parse_policy, rolled_up

HUNDREDTHS = 100
LEVELS = st.sampled_from(Level)
CHILDREN = st.lists(st.tuples(LEVELS, st.integers(0, 9)), min_size=1, max_size=8)
SHARES = st.integers(0, 100 * HUNDREDTHS)


def policy_with(roll_ups: str) -> str:
    return f"{default_policy_text()}\nroll_ups:\n{roll_ups}"


@pytest.mark.parametrize(
    ("share_percent", "level"),
    [(20, Level.EMERGENCY), (20.01, Level.LIMITED), (60, Level.LIMITED), (60.01, Level.OPTIMAL)],
)
def test_the_worst_level_that_enough_weight_is_at_or_beyond(share_percent: float, level: Level) -> None:
    children = [(Level.EMERGENCY, 1), (Level.LIMITED, 2), (Level.OPTIMAL, 2)]

    assert rolled_up(children, round(share_percent * HUNDREDTHS)) is level


def test_children_without_weight_do_not_count_and_none_at_all_is_no_level() -> None:
    assert rolled_up([(Level.EMERGENCY, 0), (Level.DEGRADED, 1)], 0) is Level.DEGRADED
    assert rolled_up([(Level.EMERGENCY, 0)], 0) is None
    assert rolled_up([], 5_000) is None


@given(children=CHILDREN, needed=SHARES, order=st.randoms(use_true_random=False))
def test_the_order_of_children_does_not_matter(
    children: list[tuple[Level, int]], needed: int, order: object
) -> None:
    shuffled = list(children)
    order.shuffle(shuffled)  # type: ignore[attr-defined]

    assert rolled_up(shuffled, needed) == rolled_up(children, needed)


@given(children=CHILDREN, needed=SHARES, data=st.data())
def test_a_worse_child_never_improves_its_parent(
    children: list[tuple[Level, int]], needed: int, data: st.DataObject
) -> None:
    index = data.draw(st.integers(0, len(children) - 1))
    level, weight = children[index]
    worse = [*children[:index], (data.draw(st.sampled_from(Level)), weight), *children[index + 1 :]]
    before, after = rolled_up(children, needed), rolled_up(worse, needed)

    assert (before is None) == (after is None)
    if before is not None and after is not None:
        assert after >= before if worse[index][0] >= level else after <= before


@given(children=CHILDREN, shares=st.tuples(SHARES, SHARES))
def test_a_greater_share_never_makes_it_worse(
    children: list[tuple[Level, int]], shares: tuple[int, int]
) -> None:
    low, high = (rolled_up(children, share) for share in sorted(shares))

    assert low is high is None or (low is not None and high is not None and high <= low)


@given(children=CHILDREN)
def test_worst_is_a_share_of_next_to_nothing(children: list[tuple[Level, int]]) -> None:
    counted = [level for level, weight in children if weight]

    assert rolled_up(children, 0) == rolled_up(children, 1) == max(counted, default=None)


def test_a_policy_declares_roll_ups() -> None:
    policy = parse_policy(
        policy_with(
            "  eu-west: {rule: worst}\n"
            "  us: {rule: weighted_share, share_percent: 33.5, weights: {us.flagship: 5}}\n"
        )
    )

    assert policy.roll_ups["eu-west"].needed == 0
    us = policy.roll_ups["us"]
    assert (us.needed, us.weight("us.flagship"), us.weight("us.other")) == (3350, 5, 1)


@pytest.mark.parametrize(
    ("written", "fault"),
    [
        ("eu: {rule: best}", "roll_ups.eu.rule: Input should be 'worst' or 'weighted_share'"),
        ("EU: {rule: worst}", "roll_ups.EU.[key]: String should match pattern"),
        ("eu: {rule: weighted_share}", "roll_ups.eu.share_percent: weighted_share needs it, above 0"),
        ("eu: {rule: weighted_share, share_percent: 0}", "roll_ups.eu.share_percent: weighted_share needs"),
        ("eu: {rule: weighted_share, share_percent: 101}", "roll_ups.eu.share_percent: Input should be less"),
        ("eu: {rule: worst, share_percent: 5}", "roll_ups.eu.share_percent: only weighted_share goes by it"),
        (
            "eu: {rule: worst, weights: {eu.a: 1}}",
            "roll_ups.eu.weights.eu.a: for worst a child counts or has weight 0",
        ),
        ("eu: {rule: worst, weights: {us.a: 0}}", "roll_ups.eu.weights.us.a: it is not beneath eu"),
        (
            "eu: {rule: weighted_share, share_percent: 5, weights: {us.a: 1}}",
            "roll_ups.eu.weights.us.a: it is not beneath eu",
        ),
        (
            "eu: {rule: weighted_share, share_percent: 5, weights: {eu.a: -1}}",
            "roll_ups.eu.weights.eu.a: Input should be greater",
        ),
        ("eu: {rule: worst, children: [eu.a]}", "roll_ups.eu.children: Extra inputs are not permitted"),
    ],
)
def test_a_faulty_roll_up_is_refused_by_key_and_rule(written: str, fault: str) -> None:
    with pytest.raises(PolicyError) as refused:
        parse_policy(policy_with(f"  {written}\n"))

    (line,) = str(refused.value).splitlines()
    assert line.startswith(fault)
