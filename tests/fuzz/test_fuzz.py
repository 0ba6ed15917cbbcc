"""A short sample of `make fuzz`, and that it would find something."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fuzz.__main__ import executions, finding, fuzz
from tests.fuzz.seeds import SEEDS

pytest.importorskip("atheris", reason="comes for x86-64 alone")
SECONDS = 2
ACCEPTED = """
import json, sys
from tests.fuzz import codec, resolver
from tests.fuzz.seeds import SEEDS
checks = {"codec": codec.check, "resolver": resolver.check}
print(json.dumps({name: [check(seed) is not None for seed in SEEDS[name]()] for name, check in checks.items()}))
"""


@pytest.mark.parametrize("target", SEEDS)
def test_nothing_that_is_read_breaks_a_rule(target: str, tmp_path: Path) -> None:
    code, said = fuzz(target, SECONDS, tmp_path)

    assert code == 0, finding(said)
    assert executions(said) > 100
    assert len(list((tmp_path / target / "corpus").iterdir())) > len(list(SEEDS[target]())), (
        "nothing new reached"
    )


def test_every_seed_is_understood() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", ACCEPTED], capture_output=True, text=True, timeout=60, check=True
    )

    understood = json.loads(ran.stdout)
    assert understood.keys() == SEEDS.keys()
    assert all(map(all, understood.values()))
    assert all(understood.values())
