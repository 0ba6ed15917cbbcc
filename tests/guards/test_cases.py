from __future__ import annotations

import json
import re
from typing import Any

import pytest

from resilience_guards import BreakerSettings, Circuit, IllegalMove, Permit
from tests.guards.cases import CASES, Case
from tests.guards.traces import DATA, MOVES

TOKEN = re.compile(
    r"(?P<op>@|a=|[FSIU]\b|[a-z]+)?(?P<value>[yn]|\d+|\(\d+\))?(?P<refused>!)?(?P<checks>[>/].*)?"
)


class Player:
    def __init__(self, case: Case) -> None:
        self._now = float(case.t0)
        defaults: dict[str, Any] = {
            "open_wait_s": 1000, "open_wait_multiplier": 1, "open_wait_cap_s": 1000, "open_wait_jitter": 0,
            "slow_call_s": 60_000, "permit_lease_s": 1e9,
        }  # fmt: skip
        self._circuit = Circuit("case", BreakerSettings(**(defaults | case.settings)), lambda: self._now)
        self._held: list[Permit] = []

    def play(self, token: str) -> None:
        parsed = TOKEN.fullmatch(token)
        assert parsed, token
        op, value = parsed["op"], (parsed["value"] or "").strip("()")
        if parsed["refused"]:
            with pytest.raises(IllegalMove):
                self._circuit.move(MOVES[op])
        else:
            self._do(op, value, token)
        for check in re.findall(r"[>/][^>/]+", parsed["checks"] or ""):
            self._check(check, token)

    def _do(self, op: str, value: str, token: str) -> None:
        circuit = self._circuit
        match op:
            case None:
                pass
            case "@":
                self._now = float(value)
                circuit.poll()
            case "a=":
                permit = circuit.try_acquire()
                assert (permit is not None) == (value == "y"), token
                self._held += [permit] if permit else []
            case "F" | "S" | "U" | "I" | "rel":
                permit = self._held.pop(0) if self._held else circuit.acquire()
                self._report(op, permit, float(value or 1))
            case "reset":
                circuit.reset()
            case _:
                circuit.move(MOVES[op], float(value) if value else None)

    def _report(self, op: str, permit: Permit, took_s: float) -> None:
        if op in {"I", "rel"}:
            self._circuit.released(permit)
        elif op == "F":
            self._circuit.failed(permit, took_s)
        else:
            self._circuit.succeeded(permit, took_s)

    def _check(self, check: str, token: str) -> None:
        seen = self._circuit.snapshot()
        if check[0] == ">":
            assert seen.state[0] == check[1], token
            return
        name, expected = check[1:].split("=")
        rates = {"rate": seen.failure_rate, "slow": seen.slow_rate}
        if name in rates:
            rate = rates[name]
            assert (-1 if rate is None else rate * 100) == pytest.approx(float(expected), abs=1e-4), token
        else:
            assert {"n": seen.calls, "np": seen.not_permitted}[name] == int(expected), token


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"case {case.number}")
def test_numbered_case(case: Case) -> None:
    player = Player(case)

    for token in case.script.split():
        player.play(token)


def test_each_defect_of_the_reference_names_a_case_played_here() -> None:
    defects = json.loads((DATA / "differences.json").read_text("utf-8"))

    named = {number for defect in defects.values() for number in defect["cases"]}

    assert named <= {case.number for case in CASES}
