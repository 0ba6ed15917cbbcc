"""What a hold would change, before anybody sets it."""

from __future__ import annotations

from dataclasses import dataclass

from flag_service.domain.holds import Draft
from flag_service.domain.picture import Picture
from flag_service.domain.retailer_flag import RetailerFlag, Surroundings
from resilience_contracts import FeatureState, Health, Level, Policy, resolve, worst


@dataclass(frozen=True, slots=True)
class Effect:
    """One feature, or flag of the retailer's own, that a hold would change."""

    key: str
    before: FeatureState
    after: FeatureState


def preview(draft: Draft, picture: Picture, policy: Policy) -> list[Effect]:
    """Return each feature whose effective state a hold would change, in the policy's order.

    A hold on a flag of the retailer's own names that flag alone, and not those that need it.
    """
    if draft.target in policy.flags:
        return _of_flag(draft, picture, policy)
    after = _by_level(draft, picture, policy) if draft.level is not None else _by_state(draft, picture)
    before = {feature.key: feature.state for feature in picture.features}
    return [Effect(key, state, after[key]) for key, state in before.items() if after[key] is not state]


def _of_flag(draft: Draft, picture: Picture, policy: Policy) -> list[Effect]:
    flag = RetailerFlag(draft.target, policy.flags[draft.target])
    around = Surroundings.of(picture)
    automatic = flag.automatic(around)
    hold = around.holds.get(draft.target)
    before = _held_at(hold.state if hold else None, automatic, allow_better=bool(hold and hold.allow_better))
    after = _held_at(draft.state, automatic, allow_better=draft.allow_better)
    return [Effect(draft.target, before, after)] if before is not after else []


def _held_at(state: FeatureState | None, automatic: FeatureState, *, allow_better: bool) -> FeatureState:
    if state is None:
        return automatic
    return state if allow_better else worst(state, automatic)


def _by_state(draft: Draft, picture: Picture) -> dict[str, FeatureState]:
    states = {feature.key: feature.state for feature in picture.features}
    automatic = {feature.key: feature.automatic for feature in picture.features}[draft.target]
    return states | {draft.target: _held_at(draft.state, automatic, allow_better=draft.allow_better)}


def _by_level(draft: Draft, picture: Picture, policy: Policy) -> dict[str, FeatureState]:
    level = _effective_level(draft, picture)
    seen = picture.level.state.dependencies if picture.level else {}
    down = {name for name, dependency in seen.items() if dependency.health is Health.DOWN}
    states = {}
    for feature in picture.features:
        automatic = resolve(policy.features[feature.key], level, down).state
        hold = feature.hold
        held = hold.state if hold and hold.state else automatic
        states[feature.key] = held if hold and hold.allow_better else worst(held, automatic)
    return states


def _effective_level(draft: Draft, picture: Picture) -> Level:
    wanted = draft.level or Level.OPTIMAL
    automatic = picture.level.state.automatic_level if picture.level else wanted.name
    known = Level.__members__.get(automatic, wanted)
    return wanted if draft.allow_better else max(wanted, known)
