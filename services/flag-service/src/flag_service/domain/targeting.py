"""Who is served which variant of a retailer's flag, by the attributes of the caller's context."""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from itertools import accumulate

from resilience_contracts import Condition, FlagRule, Target

from .evaluation import Context, Reason, TargetingKeyMissingError

BUCKETS = 10_000

Test = Callable[[object], bool]


@dataclass(frozen=True, slots=True, eq=False)
class Choice:
    """A flag's variant, and what chose it. Known by identity: a flag makes each of its choices once."""

    key: str
    variant: str
    reason: Reason
    because: str
    detail: str


def bucket(key: str, unit: str) -> int:
    """Return where a caller stands in a flag's percentages: 0 to 9999, the same for ever and everywhere.

    The first eight bytes of SHA-256 over `key/unit` as a big-endian integer, modulo 10,000.
    """
    digest = hashlib.sha256(f"{key}/{unit}".encode(errors="surrogatepass")).digest()
    return int.from_bytes(digest[:8]) % BUCKETS


class Targeting:
    """The targets of one flag, ready to be asked."""

    def __init__(self, key: str, rule: FlagRule) -> None:
        self._default = Choice(key, rule.default, Reason.DEFAULT, "default", "no target matches")
        self._targets = [_Target(key, rule, index, target) for index, target in enumerate(rule.targeting)]
        self.contextual = bool(self._targets)

    def choose(self, context: Context) -> Choice:
        """Return what the first matching target serves.

        Raises:
            TargetingKeyMissingError: it serves by percentage, and the context does not say of whom.
        """
        for target in self._targets:
            if target.matches(context):
                return target.serve(context)
        return self._default


class _Target:
    def __init__(self, key: str, rule: FlagRule, index: int, target: Target) -> None:
        self._key = key
        self._tests = [(attribute, _test(condition)) for attribute, condition in target.when.items()]
        self._split_by = rule.split_by
        shares = target.serve if isinstance(target.serve, dict) else {target.serve: BUCKETS}
        self._ends = list(accumulate(int(share) for share in shares.values()))
        whole = len(shares) == 1
        reason, because = (Reason.TARGETING_MATCH, "targeting") if whole else (Reason.SPLIT, "split")
        self._choices = [Choice(key, name, reason, because, f"target {index + 1}") for name in shares]

    def matches(self, context: Context) -> bool:
        for name, test in self._tests:  # noqa: SIM110 - a generator costs as much as the tests do
            if name not in context or not test(context[name]):
                return False
        return True

    def serve(self, context: Context) -> Choice:
        if len(self._choices) == 1:
            return self._choices[0]
        place = bucket(self._key, self._unit(context))
        return self._choices[bisect_right(self._ends, place)]

    def _unit(self, context: Context) -> str:
        unit = context.get(self._split_by)
        if isinstance(unit, str) and unit:
            return unit
        if isinstance(unit, int) and not isinstance(unit, bool):
            return str(unit)
        raise TargetingKeyMissingError(
            f"{self._key} goes by percentage of `{self._split_by}`, which is not given"
        )


def _test(condition: Condition) -> Test:
    tests = list(_tests(condition))
    return tests[0] if len(tests) == 1 else lambda value: all(test(value) for test in tests)


def _tests(condition: Condition) -> Iterable[Test]:
    if condition.one_of is not None:
        yield _one_of(condition.one_of)
    if condition.none_of is not None:
        yield _none_of(condition.none_of)
    yield from _text_tests(condition)
    yield from _number_tests(condition)


def _one_of(values: Collection[object]) -> Test:
    if all(isinstance(value, str) for value in values):
        texts = frozenset(values)
        return lambda value: isinstance(value, str) and value in texts
    wanted = frozenset(map(_typed, values))
    return lambda value: isinstance(value, str | int | float) and _typed(value) in wanted


def _none_of(values: Iterable[object]) -> Test:
    unwanted = frozenset(map(_typed, values))
    return lambda value: isinstance(value, str | int | float) and _typed(value) not in unwanted


def _typed(value: object) -> tuple[bool, object]:
    # True == 1 in Python, and is not in JSON.
    return isinstance(value, bool), value


def _text_tests(condition: Condition) -> Iterable[Test]:
    start, end, part = condition.starts_with, condition.ends_with, condition.contains
    if start is not None:
        yield lambda value: isinstance(value, str) and value.startswith(start)
    if end is not None:
        yield lambda value: isinstance(value, str) and value.endswith(end)
    if part is not None:
        yield lambda value: isinstance(value, str) and part in value


def _number_tests(condition: Condition) -> Iterable[Test]:
    least, below = condition.at_least, condition.below
    if least is not None:
        yield lambda value: _is_number(value) and value >= least  # type: ignore[operator]
    if below is not None:
        yield lambda value: _is_number(value) and value < below  # type: ignore[operator]


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
