"""Flags of the retailer's own: what decides, in which order, and for whom."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flag_service.domain.evaluation import Context, Evaluation, Failure, TargetingKeyMissingError
from flag_service.domain.flags import FlagCatalogue, Sheet
from flag_service.domain.holds import Draft
from flag_service.domain.picture import Picture, draw
from flag_service.domain.preview import Effect, preview
from flag_service.domain.targeting import BUCKETS, bucket
from resilience_contracts import (
    DependencyState,
    FeatureState,
    FlagRule,
    Health,
    HoldSet,
    Level,
    Policy,
    View,
)
from tests.contracts.states import NOW, POLICY, hold_set, level_state

CHECKOUT = "shop.checkout"
GOLD = {"when": {"tier": {"one_of": ["gold"]}}, "serve": "fast"}
HALF = {"serve": {"fast": 50, "slow": 50}}


def policy(**flags: dict[str, Any]) -> Policy:
    rules = {
        f"shop.{key}": FlagRule.model_validate(
            {"variants": {"fast": "F", "slow": "S", "off": ""}, "default": "slow", "off": "off"} | rule
        )
        for key, rule in flags.items()
    }
    return POLICY.model_copy(update={"flags": rules})


def picture(
    has: Policy,
    level: Level | None = Level.OPTIMAL,
    *,
    down: str | None = None,
    holds: tuple[HoldSet, ...] = (),
    late_s: float = 0,
) -> Picture:
    view = View(has)
    if level is not None:
        state = level_state(level, (3, 7))
        lost = {down: DependencyState(health=Health.DOWN, score=0, since=NOW)} if down else {}
        view.apply_level(state.model_copy(update={"dependencies": {**state.dependencies, **lost}}))
    for hold in holds:
        view.apply_hold(hold)
    return draw(view, "default", NOW + timedelta(seconds=late_s))


def ask(has: Policy, context: Context | None = None, key: str = CHECKOUT, **seen: Any) -> Evaluation:
    return Sheet(FlagCatalogue(has), picture(has, **seen)).evaluate(key, context or {})


def held(state: FeatureState, *, allow_better: bool = False, target: str = CHECKOUT) -> tuple[HoldSet, ...]:
    return (hold_set(state, allow_better=allow_better, target=target),)


def because(evaluation: Evaluation) -> tuple[str, str, object]:
    return evaluation.variant, evaluation.reason.value, evaluation.metadata["because"]


ALL = {
    "up_to": Level.DEGRADED,
    "needs": ["s3"],
    "prerequisites": {"inventory.reservations": ["enabled"]},
    "targeting": [GOLD, HALF],
}


def test_each_layer_wins_over_the_next_and_leaves_no_trace_when_it_goes() -> None:
    """Bug row 22 (flagd 1809): the layers have one order, and taking one away shows the one below it."""
    has = policy(checkout=ALL)
    gold = {"tier": "gold", "targetingKey": "u"}
    lowest: dict[str, Any] = {"level": Level.EMERGENCY, "down": "s3"}
    only_level = policy(checkout={key: value for key, value in ALL.items() if key != "prerequisites"})

    assert because(ask(has, gold, holds=held(FeatureState.DISABLED), **lowest)) == ("off", "STATIC", "hold")
    assert because(ask(has, gold, **lowest)) == ("off", "STATIC", "prerequisite")
    assert because(ask(only_level, gold, **lowest)) == ("off", "STATIC", "dependency")
    assert because(ask(only_level, gold, level=Level.LIMITED)) == ("off", "STATIC", "level")
    assert because(ask(has, gold)) == ("fast", "TARGETING_MATCH", "targeting")
    assert because(ask(has, {"targetingKey": "u"}))[1:] == ("SPLIT", "split")
    assert because(ask(policy(checkout={}), gold)) == ("slow", "DEFAULT", "default")


def test_a_hold_names_itself_and_its_end() -> None:
    evaluation = ask(policy(checkout={}), holds=held(FeatureState.DISABLED))

    assert evaluation.value == ""
    assert evaluation.metadata["hold_id"] == "h1"
    assert evaluation.metadata["expires_at"] == "2026-03-01T13:00:00.000Z"


def test_a_hold_is_better_than_automation_only_when_it_says_so() -> None:
    has = policy(checkout=ALL)
    gold = {"tier": "gold"}

    kept = ask(has, gold, level=Level.LIMITED, holds=held(FeatureState.ENABLED))
    better = ask(has, gold, level=Level.LIMITED, holds=held(FeatureState.ENABLED, allow_better=True))

    assert because(kept) == ("off", "STATIC", "level")
    assert because(better) == ("fast", "TARGETING_MATCH", "targeting")


def test_an_expired_hold_leaves_no_trace() -> None:
    evaluation = ask(policy(checkout={}), holds=held(FeatureState.DISABLED), late_s=3600)

    assert because(evaluation) == ("slow", "DEFAULT", "default")
    assert "hold_id" not in evaluation.metadata


def test_what_needs_a_held_flag_goes_with_it() -> None:
    has = policy(checkout={}, express={"prerequisites": {CHECKOUT: ["slow", "fast"]}})

    assert because(ask(has, key="shop.express"))[2] == "default"
    off = ask(has, key="shop.express", holds=held(FeatureState.DISABLED))
    assert because(off) == ("off", "STATIC", "prerequisite")
    assert off.metadata["detail"] == "shop.checkout is off"


def test_nothing_heard_of_the_level_takes_no_flag_away() -> None:
    """Bug row 9 (ld-relay 141): a state that is not there is unknown, and not false."""
    evaluation = ask(policy(checkout={"up_to": Level.OPTIMAL, "needs": ["s3"]}), level=None)

    assert because(evaluation) == ("slow", "DEFAULT", "default")
    assert evaluation.metadata["stale"] is True


def test_a_stale_level_still_decides_and_says_so() -> None:
    evaluation = ask(policy(checkout={"up_to": Level.OPTIMAL}), level=Level.LIMITED, late_s=91)

    assert because(evaluation) == ("off", "UNKNOWN", "level")


@pytest.mark.parametrize(
    ("condition", "matching", "others"),
    [
        ({"one_of": ["a", 1, True]}, ["a", 1, 1.0, True], ["b", 0, False, None, [], {}, "1"]),
        ({"one_of": [1]}, [1, 1.0], [True, "1"]),
        ({"none_of": ["a"]}, ["b", 3, True], ["a", None, []]),
        ({"starts_with": "de-"}, ["de-AT"], ["DE-at", 3, None]),
        ({"ends_with": "@shop.example"}, ["x@shop.example"], ["shop.example@x"]),
        ({"contains": "ö"}, ["böse"], ["bose", ["ö"]]),
        ({"at_least": 3, "below": 5}, [3, 4.99], [5, 2.99, "4", True, None, float("nan")]),
        ({"starts_with": "a", "ends_with": "b"}, ["ab", "axb"], ["a", "b"]),
    ],
)
def test_a_condition_holds_for_values_of_its_type_alone(
    condition: dict[str, Any], matching: list[object], others: list[object]
) -> None:
    has = policy(checkout={"targeting": [{"when": {"x": condition}, "serve": "fast"}]})

    assert [value for value in matching if ask(has, {"x": value}).variant != "fast"] == []
    assert [value for value in others if ask(has, {"x": value}).variant == "fast"] == []
    assert ask(has, {}).variant == "slow"


def test_a_percentage_needs_to_know_of_whom_and_only_then() -> None:
    has = policy(checkout={"targeting": [GOLD, HALF]}, other={})
    sheet = Sheet(FlagCatalogue(has), picture(has))

    assert sheet.evaluate(CHECKOUT, {"tier": "gold"}).variant == "fast"
    for context in ({}, {"targetingKey": ""}, {"targetingKey": True}, {"targetingKey": ["u"]}):
        with pytest.raises(
            TargetingKeyMissingError, match=r"shop\.checkout goes by percentage of `targetingKey`"
        ):
            sheet.evaluate(CHECKOUT, context)


def test_a_flag_that_cannot_be_answered_is_an_error_and_not_a_value() -> None:
    """Bug row 7 (posthog-js 2996): what could not be evaluated is said to be so, one by one."""
    has = policy(checkout={"targeting": [HALF]}, needy={"prerequisites": {CHECKOUT: ["fast"]}}, other={})

    answers = {one.key: one for one in Sheet(FlagCatalogue(has), picture(has)).evaluate_all({})}

    assert {key for key, one in answers.items() if isinstance(one, Failure)} == {CHECKOUT, "shop.needy"}
    assert len(answers) == 34 + 3


def test_a_percentage_may_go_by_another_attribute() -> None:
    has = policy(checkout={"targeting": [HALF], "split_by": "store"})

    served = {
        ask(has, {"store": store, "targetingKey": f"u{n}"}).variant for n in range(20) for store in (42,)
    }

    assert len(served) == 1


def test_a_bucket_is_the_same_for_ever() -> None:
    assert [bucket("shop.checkout", unit) for unit in ("u1", "u2", "ü", "42", "\ud800")] == [
        9985, 9735, 1827, 6120, 8005,
    ]  # fmt: skip


def test_percentages_are_kept_within_a_thousandth_of_many_callers() -> None:
    has = policy(checkout={"targeting": [{"serve": {"fast": 10, "slow": 89.5, "off": 0.5}}]})
    sheet = Sheet(FlagCatalogue(has), picture(has))

    served = [sheet.evaluate(CHECKOUT, {"targetingKey": f"user-{n}"}).variant for n in range(20_000)]

    for variant, share in (("fast", 0.1), ("slow", 0.895), ("off", 0.005)):
        assert abs(served.count(variant) / len(served) - share) < 0.01


@given(unit=st.text(min_size=1), small=st.integers(0, BUCKETS), more=st.integers(0, BUCKETS))
def test_nobody_leaves_a_variant_whose_share_grows(unit: str, small: int, more: int) -> None:
    def served(share: int) -> str:
        split = {"serve": {"fast": share / 100, "slow": (BUCKETS - share) / 100}}
        return ask(policy(checkout={"targeting": [split]}), {"targetingKey": unit}).variant

    before, after = served(small), served(min(BUCKETS, small + more))

    assert (before, after) != ("fast", "slow")


VALUES = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.text(), max_size=2)
CONTEXTS = st.dictionaries(st.sampled_from(["targetingKey", "tier", "store", "age"]), VALUES)
STATES = st.sampled_from([None, *FeatureState])


@given(context=CONTEXTS, level=st.sampled_from([None, *Level]), hold=STATES, better=st.booleans())
def test_any_context_is_answered_alike_alone_and_with_all(
    context: dict[str, Any], level: Level | None, hold: FeatureState | None, *, better: bool
) -> None:
    """Bug row 11 (Flagsmith 8127): one resolver, however it is asked."""
    has = policy(
        checkout=ALL,
        aged={"targeting": [{"when": {"age": {"at_least": 18}}, "serve": "fast"}]},
        express={"prerequisites": {CHECKOUT: ["fast"]}, "targeting": [HALF], "split_by": "store"},
    )
    holds = held(hold, allow_better=better) if hold else ()
    seen = picture(has, level, holds=holds)
    catalogue = FlagCatalogue(has)
    sheet = Sheet(catalogue, seen)

    for answer in sheet.evaluate_all(context):
        try:
            alone = Sheet(catalogue, seen).evaluate(answer.key, context)
        except TargetingKeyMissingError:
            assert isinstance(answer, Failure)
            continue
        assert isinstance(answer, Evaluation)
        assert (answer.value, because(answer)) == (alone.value, because(alone))
        if not catalogue.depends_on_caller(answer.key):
            assert because(answer) == because(sheet.evaluate(answer.key, {}))


def test_a_hold_on_a_flag_is_an_effect_that_callers_are_told_of() -> None:
    has = policy(checkout={})
    free, taken = picture(has), picture(has, holds=held(FeatureState.DISABLED))

    assert not taken.same_effect(free)
    assert [hold.target for hold in taken.holds] == [CHECKOUT]
    assert replace(taken, flag_holds=()).same_effect(free)


def test_a_preview_names_the_flag_that_a_hold_would_take_away() -> None:
    has = policy(checkout={"up_to": Level.DEGRADED})
    draft = Draft("default", CHECKOUT, "", FeatureState.DISABLED)
    better = replace(draft, state=FeatureState.ENABLED, allow_better=True)
    on, off = FeatureState.ENABLED, FeatureState.DISABLED

    assert preview(draft, picture(has), has) == [Effect(CHECKOUT, on, off)]
    assert preview(draft, picture(has, Level.LIMITED), has) == []
    assert preview(better, picture(has, Level.LIMITED), has) == [Effect(CHECKOUT, off, on)]
