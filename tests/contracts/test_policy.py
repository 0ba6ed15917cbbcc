from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from resilience_contracts import (
    FeatureState,
    Level,
    PolicyError,
    default_policy,
    default_policy_text,
    parse_policy,
    reachable_sums,
)

E, F, X = FeatureState.ENABLED, FeatureState.FALLBACK, FeatureState.DISABLED


def changed(old: str, new: str) -> str:
    text = default_policy_text()
    assert old in text
    return text.replace(old, new)


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ("weight: 50", "weight: 51", "dependencies.*.weight: weights must add up to 100, not 101"),
        (
            "weight: 50",
            "weight: -1",
            "dependencies.openai.weight: Input should be greater than or equal to 0",
        ),
        (
            "weight: 50",
            "weight: 50\n    wieght: 1",
            "dependencies.openai.wieght: Extra inputs are not permitted",
        ),
        ("OPTIMAL: 90", "OPTIMAL: 60", "levels.boundaries: boundaries must fall from OPTIMAL to MINIMAL"),
        ("OPTIMAL: 90", "OPTIMAL: 90.001", "levels.boundaries.OPTIMAL: at most two decimals"),
        ("OPTIMAL: 90", "OPTIMAL: .nan", "levels.boundaries.OPTIMAL: Input should be a finite number"),
        (
            "OPTIMAL: 90, ",
            "",
            "levels.boundaries: exactly OPTIMAL, DEGRADED, LIMITED, MINIMAL have a boundary",
        ),
        (
            "promotion_margin: 2",
            "promotion_margin: 5",
            "levels.boundaries.DEGRADED: the reachable sum 70 lies in",
        ),
        ("not_down: redis", "not_down: reddis", "levels.ceilings.1.not_down: 'reddis' is not one of"),
        ("hard: [postgresql, s3]", "hard: [s4]", "features.analytics.exports: 's4' is not one of"),
        (
            "levels: [E, E, E, F, X]",
            "levels: [E, E, X, F, X]",
            "features.inventory.reservations: levels: a worse",
        ),
        (
            "levels: [E, E, E, F, X]",
            "levels: [E, E, Q, F, X]",
            "features.inventory.reservations.levels.2: one of E, F, X",
        ),
        ("at_least: MINIMAL", "at_least: BAD", "levels.floors.1.at_least: one of OPTIMAL, DEGRADED, LIMITED"),
        ("on_monitor_lost: keep", "on_monitor_lost: kept", "timing.on_monitor_lost: one of OPTIMAL"),
        ("down: [postgresql], at", "down: postgresql, at", "levels.floors.1.down: Input should be a valid"),
        (', fallback: "lexical search"', "", "features.performance.semantic_search: fallback: say what"),
        (
            "fresh_intervals: 2.5",
            "fresh_intervals: 6",
            "timing: fresh_intervals must be under stale_intervals",
        ),
        ("normal_below: 1.0", "normal_below: 3", "damping: normal_below <= slow_above <= penalty_cap"),
        ("times_usual: 3.5", "times_usual: 1", "early_warning.times_usual: Input should be greater than"),
        ("share_of_objective: 0.2", "share: 0.2", "early_warning.share_of_objective: Field required"),
        ("on_monitor_lost: keep", "on_monitor_lost: WORST", "timing.on_monitor_lost"),
        ("schema_version: 1", "schema_version: 2", "schema_version: Input should be 1"),
        ("heartbeat_s: 30", "heartbeat_s: 30\n  heartbeat_s: 3", "heartbeat_s is written twice"),
    ],
)
def test_an_error_names_the_key_and_the_rule(old: str, new: str, line: str) -> None:
    with pytest.raises(PolicyError) as caught:
        parse_policy(changed(old, new))

    assert line in str(caught.value)


def test_all_faults_are_told_at_once() -> None:
    text = changed("weight: 50", "weight: 51").replace("[postgresql, s3]", "[s4]")

    with pytest.raises(PolicyError) as caught:
        parse_policy(text)

    assert "weights must add up" in str(caught.value)
    assert "'s4' is not one of" in str(caught.value)


@pytest.mark.parametrize("text", ["", "[]", "a: [", "1: 2", "? [a]\n: b", "\x00", "[" * 5000])
def test_a_file_that_is_no_policy_is_refused(text: str) -> None:
    with pytest.raises(PolicyError):
        parse_policy(text)


@given(st.text(max_size=200))
def test_any_text_is_a_policy_or_a_policy_error(text: str) -> None:
    with pytest.raises(PolicyError):
        parse_policy(text)


def test_scores_are_whole_hundredths() -> None:
    boundaries = default_policy().levels.boundaries

    assert boundaries == {
        Level.OPTIMAL: 9000,
        Level.DEGRADED: 6750,
        Level.LIMITED: 4000,
        Level.MINIMAL: 1750,
    }


def test_the_reachable_sums_are_those_of_the_weights() -> None:
    assert reachable_sums(default_policy().weights) == [
        points * 100 for points in (0, 5, 15, 20, 30, 35, 45, 50, 55, 65, 70, 80, 85, 95, 100)
    ]


DESIGN_TABLE = {
    "inventory.availability": ("EEEFF", "", "postgresql"),
    "inventory.reservations": ("EEEFX", "postgresql", ""),
    "inventory.adjustments": ("EEEFF", "", "postgresql"),
    "inventory.bulk_operations": ("EEFXX", "postgresql", ""),
    "analytics.dashboard": ("EEFXX", "", "postgresql"),
    "analytics.reports": ("EEXXX", "postgresql", ""),
    "analytics.forecasting": ("EFFXX", "postgresql", "openai"),
    "analytics.exports": ("EEXXX", "postgresql s3", ""),
    "integrations.ai_assistant": ("EFXXX", "openai", ""),
    "integrations.media": ("EEFXX", "", "s3"),
    "integrations.webhooks": ("EEFFF", "", ""),
    "integrations.supplier_orders": ("EEFXX", "postgresql", "openai"),
    "performance.caching": ("EEEEE", "redis", ""),
    "performance.live_updates": ("EEFXX", "", "redis"),
    "performance.semantic_search": ("EFFXX", "postgresql", "openai"),
    "performance.recommendations": ("EXXXX", "postgresql", "openai"),
}


def test_the_default_features_are_those_of_the_design() -> None:
    letters = {E: "E", F: "F", X: "X"}
    features = default_policy().features

    table = {
        key: (
            "".join(letters[s] for s in rule.levels),
            " ".join(sorted(rule.hard)),
            " ".join(sorted(rule.soft)),
        )
        for key, rule in features.items()
    }

    assert table == DESIGN_TABLE


def test_stock_features_are_on_before_anything_is_known() -> None:
    unknown = {key: rule.unknown for key, rule in default_policy().features.items()}

    assert all(state is E for key, state in unknown.items() if key.startswith("inventory."))
    assert unknown["performance.recommendations"] is X


def test_a_policy_file_is_identified_by_its_bytes(tmp_path: Path) -> None:
    other = parse_policy(default_policy_text() + "\n")

    assert other.sha256 != default_policy().sha256
    assert other.levels == default_policy().levels


def test_the_text_is_plain_yaml() -> None:
    assert set(yaml.safe_load(default_policy_text())) == {
        "schema_version",
        "dependencies",
        "levels",
        "timing",
        "damping",
        "early_warning",
        "features",
    }
