"""docs/security.md names the test of each thing that it says; these exist, and no letter of STRIDE is left out."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/security.md").read_text(encoding="utf-8")
NAMED = sorted(set(re.findall(r"`(tests/[\w/]+\.py::\w+)`", PAGE)))
THREATS = PAGE.partition("\n## Threats\n")[2].partition("\n## ")[0]
EDGES = {title: body for title, _, body in (part.partition("\n") for part in THREATS.split("\n### ")[1:])}


@pytest.mark.parametrize("named", NAMED)
def test_a_test_that_the_page_names_exists(named: str) -> None:
    file, _, test = named.partition("::")

    assert re.search(rf"^(async )?def {test}\(", (ROOT / file).read_text(encoding="utf-8"), re.MULTILINE)


@pytest.mark.parametrize("edge", EDGES)
def test_each_edge_has_every_letter_and_each_row_its_test(edge: str) -> None:
    rows = re.findall(r"^\| ([A-Z]) \|.*\| (.*) \|$", EDGES[edge], re.MULTILINE)

    assert [letter for letter, _ in rows] == list("STRIDE")
    assert [shown for _, shown in rows if not shown.startswith("`tests/")] == []


def test_there_are_edges_and_tests() -> None:
    assert len(EDGES) >= 5
    assert len(NAMED) > 30
