"""The flag resolver under any flags and any caller: a variant that the flag has, or the error that says what lacks.

An input is a line of JSON, `{"level", "down", "flags"}`, and below it the body of an OFREP request.

    python -m tests.fuzz.resolver FILE    does again what is in a file
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable

import atheris
from pydantic import ValidationError

with atheris.instrument_imports(include=["resilience_contracts", "flag_service.domain"]):
    from flag_service.domain.evaluation import Evaluation, Failure
    from flag_service.domain.flags import FlagCatalogue, Sheet
    from flag_service.domain.picture import Picture, draw
    from flag_service.http.ofrep import OfrepError, read_context
    from resilience_contracts import DependencyState, FlagRule, Health, Level, View
    from resilience_contracts.flag import flag_faults
    from tests.contracts.states import NOW, POLICY, level_state

NAMES = frozenset(POLICY.dependencies)
FEATURES = frozenset(POLICY.features)


def check(data: bytes) -> list[Evaluation | Failure] | None:
    """Evaluate every flag for a caller; None where the flags or the request are refused."""
    head, _, body = data.partition(b"\n")
    try:
        said = json.loads(head)
        flags = {key: FlagRule.model_validate(rule) for key, rule in said["flags"].items()}
        level = None if said["level"] is None else Level(said["level"])
        down = NAMES.intersection(said["down"])
        context = read_context(body)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, ValidationError, OfrepError):
        return None
    if any(flag_faults(flags, FEATURES)):
        return None
    sheet = Sheet(FlagCatalogue(POLICY.model_copy(update={"flags": flags})), _picture(level, down))
    answers = list(sheet.evaluate_all(context))
    for key, answer in zip(sheet.catalogue, answers, strict=True):
        assert answer.key == key
        rule = flags.get(key)
        if rule is None:
            assert isinstance(answer, Evaluation), "what is the same for all is always answered"
        elif isinstance(answer, Evaluation):
            assert answer.value == rule.values[answer.variant], "a value that the variant does not have"
            taken = rule.needs & down or (level is not None and rule.up_to is not None and level > rule.up_to)
            assert answer.variant == rule.off or not taken, "served although it is taken away"
    assert told(answers) == told(sheet.evaluate_all(context)), "asked twice, answered twice"
    return answers


def told(answers: Iterable[Evaluation | Failure]) -> list[tuple[str, str]]:
    """Return what a caller is told of each flag."""
    return [(one.key, one.variant if isinstance(one, Evaluation) else one.details) for one in answers]


def _picture(level: Level | None, down: frozenset[str]) -> Picture:
    view = View(POLICY)
    if level is not None:
        state = level_state(level, (3, 7))
        lost = {name: DependencyState(health=Health.DOWN, score=0, since=NOW) for name in down}
        view.apply_level(state.model_copy(update={"dependencies": {**state.dependencies, **lost}}))
    return draw(view, "default", NOW)


def main() -> None:
    """Hand over to libFuzzer; the arguments are its own."""
    atheris.Setup(sys.argv, check)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
