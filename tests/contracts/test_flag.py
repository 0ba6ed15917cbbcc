"""Flags of the retailer's own, as the policy file has them."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resilience_contracts import FlagRule, FlagType, Policy, PolicyError, default_policy_text, parse_policy
from resilience_contracts.flag import PREREQUISITE_DEPTH, flag_faults

BANNER = """
flags:
  shop.banner:
    variants: {spring: "Spring sale", none: ""}
    default: none
    off: none
    up_to: DEGRADED
    needs: [postgresql]
    prerequisites: {inventory.reservations: [enabled]}
    targeting:
      - {when: {country: {one_of: [DE, NO]}, age: {at_least: 18}}, serve: spring}
      - {serve: {spring: 12.5, none: 87.5}}
"""


def policy(flags: str) -> Policy:
    return parse_policy(default_policy_text() + flags)


def test_a_flag_is_read_whole() -> None:
    rule = policy(BANNER).flags["shop.banner"]

    assert rule.type is FlagType.STRING
    assert rule.targeting[0].when["country"].one_of == ("DE", "NO")
    assert rule.targeting[1].serve == {"spring": 1250, "none": 8750}


def test_the_policy_that_ships_has_no_flags_of_its_own() -> None:
    assert policy("").flags == {}


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        (
            "default: none",
            "default: winter",
            "flags.shop.banner: default: 'winter' is not one of the variants",
        ),
        ("off: none", "off: winter", "flags.shop.banner: off: 'winter' is not one of the variants"),
        ('none: ""', "none: 3", "flags.shop.banner: variants: all of one type, not number and string"),
        ("serve: spring}", "serve: winter}", "flags.shop.banner: targeting.0.serve: 'winter' is not one of"),
        (
            "spring: 12.5",
            "spring: 12",
            "flags.shop.banner.targeting.1: serve: percentages must add up to 100",
        ),
        (
            "{one_of: [DE, NO]}",
            "{one_off: [DE]}",
            "flags.shop.banner.targeting.0.when.country.one_off: Extra",
        ),
        ("{one_of: [DE, NO]}", "{}", "flags.shop.banner.targeting.0.when.country: one of one_of, none_of"),
        ("needs: [postgresql]", "needs: [mysql]", "flags.shop.banner.needs: 'mysql' is not one of"),
        ("up_to: DEGRADED", "up_to: BAD", "flags.shop.banner.up_to"),
        (
            "[enabled]",
            "[on]",
            "flags.shop.banner.prerequisites.inventory.reservations: 'on' is not one of its",
        ),
        ("{inventory.reservations:", "{inventory.x:", "flags.shop.banner.prerequisites.inventory.x: neither"),
        ("{inventory.reservations: [enabled]}", "{shop.banner: [spring]}", "shop.banner needs shop.banner"),
        (
            "shop.banner:",
            "analytics.reports:",
            "flags.analytics.reports: features and the level already give",
        ),
        ("shop.banner:", "analytics.reports.mode:", "flags.analytics.reports.mode: features and the level"),
        ("shop.banner:", "system.banner:", "flags.system.banner: features and the level already give"),
        ("shop.banner:", "Shop/Banner:", "flags.Shop/Banner"),
        ('spring: "Spring sale"', "spring: {at: .inf}", "flags.shop.banner.variants.spring"),
        (
            'spring: "Spring sale", none: ""',
            "spring: 9007199254740993, none: 0",
            "flags.shop.banner.variants.spring",
        ),
        ('spring: "Spring sale"', "spring: [1]", "flags.shop.banner.variants.spring"),
    ],
)
def test_an_error_names_the_flag_and_the_rule(old: str, new: str, line: str) -> None:
    assert old in BANNER

    with pytest.raises(PolicyError) as caught:
        policy(BANNER.replace(old, new))

    assert line in str(caught.value)


def test_prerequisites_that_go_round_are_named_all_the_way() -> None:
    flags = {key: rule(prerequisites={other: ("on",)}) for key, other in (("a", "b"), ("b", "c"), ("c", "a"))}

    [fault] = flag_faults(flags, frozenset())

    assert fault.startswith("flags.")
    assert ".prerequisites: they go round" in fault
    way = fault.rpartition(", ")[2].split(" needs ")
    assert way[0] == way[-1]
    assert all(other in flags[key].prerequisites for key, other in pairwise(way))


def test_a_chain_of_prerequisites_that_is_too_long_is_refused() -> None:
    flags = {"f0": rule()} | {f"f{n}": rule(prerequisites={f"f{n - 1}": ("on",)}) for n in range(1, 40)}

    [fault] = flag_faults(flags, frozenset())

    assert fault == f"flags.f{PREREQUISITE_DEPTH}.prerequisites: a chain of more than {PREREQUISITE_DEPTH}"


def test_one_fraction_makes_every_number_one() -> None:
    assert repr(dict(rule(variants={"on": 1, "off": 0.5}).values)) == "{'on': 1.0, 'off': 0.5}"
    assert repr(dict(rule(variants={"on": 1, "off": 2}).values)) == "{'on': 1, 'off': 2}"


@pytest.mark.parametrize(
    "word", ["no", "on", "yes", "off", "NO", "0017", "12:30", "2026-01-02", "1_000_000_x"]
)
def test_a_bare_word_of_a_shop_stays_text(word: str) -> None:
    text = BANNER.replace("[DE, NO]", f"[{word}]")

    assert policy(text).flags["shop.banner"].targeting[0].when["country"].one_of == (word,)


@pytest.mark.parametrize(
    ("word", "value"), [("true", True), ("7", 7), ("-7", -7), ("1.5", 1.5), ("1e3", 1000.0)]
)
def test_a_bare_number_or_truth_is_what_it_looks_like(word: str, value: object) -> None:
    text = BANNER.replace("[DE, NO]", f"[{word}]")

    read = policy(text).flags["shop.banner"].targeting[0].when["country"].one_of

    assert repr(read) == repr((value,))


@given(st.dictionaries(st.sampled_from("abcdef"), st.sets(st.sampled_from("abcdef"), max_size=3)))
def test_prerequisites_are_refused_exactly_when_one_reaches_itself(graph: dict[str, set[str]]) -> None:
    flags = {
        key: rule(prerequisites={other: ("on",) for other in others if other in graph})
        for key, others in graph.items()
    }

    def reached(key: str) -> set[str]:
        found: set[str] = set()
        ahead = list(flags[key].prerequisites)
        while ahead:
            other = ahead.pop()
            if other not in found:
                found.add(other)
                ahead += flags[other].prerequisites
        return found

    assert bool(list(flag_faults(flags, frozenset()))) == any(key in reached(key) for key in flags)


def rule(**changes: object) -> FlagRule:
    given_rule = {"variants": {"on": True, "off": False}, "default": "on", "off": "off"}
    return FlagRule.model_validate(given_rule | changes)


def test_the_guides_flags_are_a_policy() -> None:
    guide = Path(__file__).parents[2] / "docs/guide/flags.md"
    (example,) = re.findall(r"```yaml\n(.*?)```", guide.read_text(encoding="utf-8"), re.DOTALL)

    assert list(policy("\n" + example).flags) == ["shop.express"]
