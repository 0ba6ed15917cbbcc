"""The flags: which exist, and what each answers for a scope and a caller.

Every feature gives two flags, a boolean named like it and a string `<key>.mode`; the level gives
`system.level` and `system.level.rank`; the rest are the retailer's own. Pure: a picture in, evaluations out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime

from resilience_contracts import FeatureState, FeatureView, Policy, PolicyError, format_time
from resilience_contracts.flag import MODE_SUFFIX

from .evaluation import Context, Evaluation, Failure, Metadata, Reason, TargetingKeyMissingError
from .picture import Picture
from .retailer_flag import RetailerFlag, Surroundings
from .targeting import Choice

LEVEL_FLAG = "system.level"
RANK_FLAG = "system.level.rank"
UNKNOWN_VARIANT = "unknown"
VARIANTS = {state: state.value.lower() for state in FeatureState}

Known = dict[str, Choice]
"""Choices that were made for one caller already, of flags that need others."""
Way = Callable[[Context, Known], Choice]
Rule = Callable[[Picture, Metadata], Evaluation]
"""Answers a flag that is the same for every caller; given what every flag's metadata says of the level."""


class FlagCatalogue:
    """Every flag of a policy."""

    def __init__(self, policy: Policy) -> None:
        """Name the flags of a policy.

        Raises:
            PolicyError: two features lead to a flag of the same name.
        """
        self.rules: dict[str, Rule] = {}
        for index, key in enumerate(policy.features):
            self._add(key, _boolean(key, index))
            self._add(key + MODE_SUFFIX, _mode(key + MODE_SUFFIX, index))
        self._add(LEVEL_FLAG, _level)
        self._add(RANK_FLAG, _rank)
        self.own = {key: RetailerFlag(key, rule) for key, rule in policy.flags.items()}
        self._contextual = _contextual(self.own)
        self.contextual = bool(self._contextual)

    def __contains__(self, key: str) -> bool:
        return key in self.rules or key in self.own

    def __len__(self) -> int:
        return len(self.rules) + len(self.own)

    def depends_on_caller(self, key: str) -> bool:
        """Say whether two callers may get different answers from one picture."""
        return key in self._contextual

    def __iter__(self) -> Iterator[str]:
        """Go through every flag's key; those that are the same for every caller come first."""
        return iter((*self.rules, *sorted(self.own, key=self.depends_on_caller)))

    def _add(self, key: str, rule: Rule) -> None:
        if key in self.rules:
            raise PolicyError(f"features: two flags would be called {key}")
        self.rules[key] = rule


class Sheet:
    """Every flag as it stands in one picture. While the picture stands, the same answer is the same object."""

    def __init__(self, catalogue: FlagCatalogue, picture: Picture) -> None:
        self.catalogue = catalogue
        self.picture = picture
        self._of_level = _level_metadata(picture)
        self._surroundings = Surroundings.of(picture)
        self._ways: dict[str, Way] = {}
        self._chosen: dict[Choice, Evaluation] = {}

    def evaluate(self, key: str, context: Context) -> Evaluation:
        """Answer one flag.

        Raises:
            KeyError: there is no such flag.
            TargetingKeyMissingError: a percentage does not know whom it is asked for.
        """
        return self._evaluate(key, context, {})

    def evaluate_all(self, context: Context) -> Iterator[Evaluation | Failure]:
        """Answer every flag, in the catalogue's order."""
        return self.answers(self.catalogue, context)

    def answers(self, keys: Iterable[str], context: Context) -> Iterator[Evaluation | Failure]:
        """Answer some flags, each by itself: one that cannot be answered does not spoil the others."""
        known: Known = {}
        chosen, ways = self._chosen, self._ways
        for key in keys:
            way = ways.get(key) or self._way(key)
            try:
                choice = way(context, known)
            except TargetingKeyMissingError as error:
                yield Failure(key, str(error))
                continue
            yield chosen.get(choice) or self._answer(key, choice)

    def _evaluate(self, key: str, context: Context, known: Known) -> Evaluation:
        choice = (self._ways.get(key) or self._way(key))(context, known)
        return self._chosen.get(choice) or self._answer(key, choice)

    def _way(self, key: str) -> Way:
        """Return how a flag comes to its choice in this picture; what is the same for all is settled here."""
        flag = self.catalogue.own.get(key)
        way = _always(self._fix(key)) if flag is None else self._own_way(flag)
        self._ways[key] = way
        return way

    def _own_way(self, flag: RetailerFlag) -> Way:
        stand, choose = flag.stand(self._surroundings), flag.targeting.choose
        if not stand.needs_others:
            taken = stand.taken
            return _always(taken) if taken else lambda context, _: choose(context)

        def with_others(context: Context, known: Known) -> Choice:
            if flag.key not in known:
                known[flag.key] = flag.choose(
                    context, stand, lambda other: self._evaluate(other, context, known).variant
                )
            return known[flag.key]

        return with_others

    def _answer(self, key: str, choice: Choice) -> Evaluation:
        self._chosen[choice] = self._of_choice(self.catalogue.own[key], choice)
        return self._chosen[choice]

    def _fix(self, key: str) -> Choice:
        evaluation = self.catalogue.rules[key](self.picture, self._of_level)
        choice = Choice(key, evaluation.variant, evaluation.reason, "", "")
        self._chosen[choice] = evaluation
        return choice

    def _of_choice(self, flag: RetailerFlag, choice: Choice) -> Evaluation:
        metadata: Metadata = {"because": choice.because, "detail": choice.detail, **self._of_level}
        hold = self._surroundings.holds.get(flag.key)
        if hold is not None:
            metadata |= _held(hold.hold_id, hold.expires_at)
        return Evaluation(flag.key, flag.values[choice.variant], choice.reason, choice.variant, metadata)


def _always(choice: Choice) -> Way:
    return lambda _context, _known: choice


def _contextual(flags: dict[str, RetailerFlag]) -> frozenset[str]:
    found = {key for key, flag in flags.items() if flag.contextual}
    grown = True
    while grown:
        more = {key for key, flag in flags.items() if not found.isdisjoint(flag.prerequisites)} - found
        found |= more
        grown = bool(more)
    return frozenset(found)


def _boolean(key: str, index: int) -> Rule:
    def rule(picture: Picture, of_level: Metadata) -> Evaluation:
        feature = picture.features[index]
        return _of_feature(key, feature.state.on, feature, picture, of_level)

    return rule


def _mode(key: str, index: int) -> Rule:
    def rule(picture: Picture, of_level: Metadata) -> Evaluation:
        feature = picture.features[index]
        return _of_feature(key, feature.state.value, feature, picture, of_level)

    return rule


def _of_feature(
    key: str, value: bool | str, feature: FeatureView, picture: Picture, of_level: Metadata
) -> Evaluation:
    metadata = {"because": feature.because.value, "detail": feature.detail, **of_level}
    if feature.hold is not None:
        metadata |= _held(feature.hold.hold_id, feature.hold.expires_at)
    return Evaluation(key, value, _reason(picture), VARIANTS[feature.state], metadata)


def _level(picture: Picture, of_level: Metadata) -> Evaluation:
    return _of_level(LEVEL_FLAG, picture.level.name if picture.level else None, picture, of_level)


def _rank(picture: Picture, of_level: Metadata) -> Evaluation:
    return _of_level(RANK_FLAG, picture.level.state.rank if picture.level else None, picture, of_level)


def _of_level(key: str, value: str | int | None, picture: Picture, of_level: Metadata) -> Evaluation:
    level = picture.level
    if level is None:
        return Evaluation(
            key, value, _reason(picture), UNKNOWN_VARIANT, {"because": UNKNOWN_VARIANT, **of_level}
        )
    metadata = {"because": level.state.decided_by.value, **of_level}
    if level.state.hold:
        metadata |= _held(level.state.hold.hold_id, level.state.hold.expires_at)
    return Evaluation(key, value, _reason(picture), level.name.lower(), metadata)


def _held(hold_id: str, expires_at: datetime) -> Metadata:
    return {"hold_id": hold_id, "expires_at": format_time(expires_at)}


def _level_metadata(picture: Picture) -> Metadata:
    level = picture.level
    if level is None:
        return {"scope": picture.scope, "stale": True}
    return {
        "scope": picture.scope,
        **({"follows": level.follows} if level.follows else {}),
        "level": level.name,
        "level_version": str(level.version),
        "stale": level.stale,
    }


def _reason(picture: Picture) -> Reason:
    known = picture.level is not None and not picture.level.stale
    return Reason.STATIC if known else Reason.UNKNOWN
