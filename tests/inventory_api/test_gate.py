from __future__ import annotations

import pytest

from inventory_api.domain.gate import GATES, Action, Behaviour
from resilience_contracts import FeatureState, default_policy

FEATURES = default_policy().features


@pytest.mark.parametrize("action", Action)
def test_every_action_is_guarded_by_a_feature_of_the_policy(action: Action) -> None:
    assert GATES[action].feature in FEATURES


@pytest.mark.parametrize("action", Action)
def test_a_worse_state_never_allows_more(action: Action) -> None:
    order = [Behaviour.SERVE, Behaviour.REDUCED, Behaviour.REFUSE]

    ranks = [order.index(GATES[action].behaviour(state)) for state in FeatureState]

    assert ranks == sorted(ranks)
    assert ranks[0] == 0
    assert ranks[-1] == 2


def test_in_fallback_holds_are_refused_and_settled() -> None:
    assert GATES[Action.HOLD].behaviour(FeatureState.FALLBACK) is Behaviour.REFUSE
    assert GATES[Action.SETTLE].behaviour(FeatureState.FALLBACK) is Behaviour.SERVE
