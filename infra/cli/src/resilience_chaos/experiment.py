"""An experiment in Chaos Toolkit's format, made from a row of the table.

Its steady state is looked at before the method and after it; the last of its probes asks whether every promise was
kept meanwhile, so that the ordinary `chaos run` judges as `resilience chaos run` does.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .table import Row

Json = dict[str, Any]


def experiment_of(row: Row, root: Path) -> Json:
    """Return the experiment.

    Args:
        row: what is done, and what must follow.
        root: the directory of the stack in which it is done.
    """
    levels = [level.name for level in row.levels]
    expected = " or ".join(levels) + (", stale" if row.stale else "")
    return {
        "version": "1.0.0",
        "title": row.name,
        "description": f"{'; '.join(map(str, row.faults))}{_often(row)}: the level settles at {expected}",
        "tags": sorted({*row.parts, *(fault.kind for fault in row.faults), _how_many(row)}),
        "configuration": {"root": str(root)},
        "steady-state-hypothesis": {
            "title": "All well, and every promise kept",
            "probes": [
                _probe("the level is OPTIMAL at both consumers", "is_calm", tolerance=True),
                _probe("a shop can sell", "can_sell", tolerance=True),
                _probe("every promise was kept", "promises", tolerance="kept"),
            ],
        },
        "method": [_action("look and use", "observe", row=row.name), *_method(row, levels)],
        "rollbacks": [_action("mend what is left", "mend"), _action("stop looking", "end")],
    }


def _method(row: Row, levels: list[str]) -> list[Json]:
    steps: list[Json] = []
    for time in range(1, row.times + 1):
        nth = f" ({time} of {row.times})" if row.times > 1 else ""
        steps += [
            _action(f"{fault}{nth}", "inject", part=fault.part, kind=fault.kind, options=fault.options)
            for fault in row.faults
        ]
        settles = {"levels": levels, "stale": row.stale, "within_s": row.within_s, "hold_s": row.hold_s}
        steps.append(_probe(f"the level follows{nth}", "settles", **settles))
        if row.features:
            wanted = {key: state.value for key, state in row.features.items()}
            steps.append(_probe(f"features follow{nth}", "features", wanted=wanted))
        if row.changes_at_most is not None:
            steps.append(_probe(f"the level is steady{nth}", "steady", at_most=row.changes_at_most))
        steps.append(_action(f"mend{nth}", "mend"))
        if time < row.times:  # or the level of the last time would be taken for that of the next
            steps.append(_probe(f"all is well again{nth}", "is_calm", tolerance=True))
    return steps


def _action(name: str, function: str, **arguments: Any) -> Json:
    return {"type": "action", "name": name, "provider": _provider("actions", function, arguments)}


def _probe(name: str, function: str, tolerance: Any = None, **arguments: Any) -> Json:
    probe: Json = {"type": "probe", "name": name, "provider": _provider("probes", function, arguments)}
    return probe if tolerance is None else {**probe, "tolerance": tolerance}


def _provider(module: str, function: str, arguments: Json) -> Json:
    return {
        "type": "python",
        "module": f"resilience_chaos.{module}",
        "func": function,
        "arguments": arguments,
    }


def _often(row: Row) -> str:
    return f", {row.times} times" if row.times > 1 else ""


def _how_many(row: Row) -> str:
    return "single" if row.is_single else "combined" if len(row.faults) > 1 else "repeated"
