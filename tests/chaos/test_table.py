"""The table that ships, and what is said of one that is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
from chaoslib.experiment import ensure_experiment_is_valid

from resilience_chaos.experiment import experiment_of
from resilience_chaos.faults import KINDS
from resilience_chaos.table import Row, load_table
from resilience_cli.errors import StackError
from resilience_cli.stack import DEPENDENCIES
from resilience_contracts import Level, default_policy, resolve

TABLE = load_table()
GUIDE = Path(__file__).parents[2] / "docs/guide/chaos.md"


def test_there_are_as_many_as_promised() -> None:
    singles = [row for row in TABLE.experiments if row.is_single]

    assert len(singles) >= 33
    assert len(TABLE.experiments) - len(singles) >= 40


def test_every_kind_is_used_and_told_in_the_guide() -> None:
    used = {fault.kind for row in TABLE.experiments for fault in row.faults}
    guide = GUIDE.read_text(encoding="utf-8")

    assert used == set(KINDS)
    assert [kind for kind in KINDS if f"| `{kind}` |" not in guide] == []


@pytest.mark.parametrize("row", TABLE.experiments, ids=lambda row: row.name)
def test_a_row_becomes_an_experiment_of_chaos_toolkit(row: Row, tmp_path: Path) -> None:
    ensure_experiment_is_valid(experiment_of(row, tmp_path))


def test_what_is_repeated_waits_each_time_until_all_is_well_again(tmp_path: Path) -> None:
    method = experiment_of(TABLE.by_name["redis-kill-thrice"], tmp_path)["method"]

    steps = [step["provider"]["func"] for step in method]
    assert steps == ["observe", *["inject", "settles", "mend", "is_calm"] * 2, "inject", "settles", "mend"]


@pytest.mark.parametrize(
    "row", [row for row in TABLE.experiments if row.features and not row.stale], ids=lambda row: row.name
)
def test_the_features_of_a_row_are_what_the_policy_gives_at_its_level(row: Row) -> None:
    rules, (level,) = default_policy().features, row.levels
    down = row.parts & set(DEPENDENCIES) if level is not Level.OPTIMAL else frozenset[str]()

    given = {key: resolve(rules[key], level, down).state for key in row.features}

    assert given == row.features


WELL = "{name: a, faults: [{part: redis, kind: kill}], level: DEGRADED}"


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ("{name: a, faults: [{part: mysql, kind: kill}], level: DEGRADED}", "cannot be done to 'mysql'"),
        ("{name: a, faults: [{part: redis, kind: rain}], level: DEGRADED}", "'rain' is no kind of fault"),
        (
            "{name: a, faults: [{part: redis, kind: kill, delay_ms: 1}], level: DEGRADED}",
            "no option 'delay_ms'",
        ),
        ("{name: a, faults: [{part: redis, kind: cut}], level: DEGRADED}", "needs the option 'after_bytes'"),
        ("{name: a, faults: [{part: redis, kind: kill}], level: FINE}", "'FINE' is no level"),
        ("{name: a, faults: [], level: DEGRADED}", "at least 1 item"),
        ("{name: A B, faults: [{part: redis, kind: kill}], level: DEGRADED}", "name"),
        (f"{WELL}\n  - {WELL}", "'a' is there twice"),
        ("]", "is no YAML"),
    ],
)
def test_a_wrong_table_is_refused_with_the_place_and_the_rule(row: str, says: str, tmp_path: Path) -> None:
    path = tmp_path / "table.yaml"
    path.write_text(f"experiments:\n  - {row}\n", encoding="utf-8")

    with pytest.raises(StackError) as refused:
        load_table(path)

    assert says in refused.value.message
    assert "\n" not in refused.value.message
