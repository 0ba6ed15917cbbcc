"""Flap damping: the more often a scope was demoted lately, the longer a promotion waits."""

from __future__ import annotations

import math
from dataclasses import dataclass

from resilience_contracts import Policy

from .instant import span_ms


@dataclass(frozen=True, slots=True)
class Damper:
    """The penalty as it stood after the last demotion; its decay is a matter of reading it later."""

    penalty: float = 0.0
    at_ms: int = 0
    slow: bool = False


def penalty(damper: Damper, policy: Policy, now_ms: int) -> float:
    """Return the penalty as it has decayed until now."""
    halvings = (now_ms - damper.at_ms) / span_ms(policy.damping.half_life_s)
    return float(damper.penalty * 0.5**halvings)


def demoted(damper: Damper, policy: Policy, now_ms: int) -> Damper:
    """Return the damper after one more demotion."""
    rules = policy.damping
    before = penalty(damper, policy, now_ms)
    after = min(before + 1.0, rules.penalty_cap)
    still_slow = damper.slow and before >= rules.normal_below
    return Damper(after, now_ms, still_slow or after > rules.slow_above)


def promote_at(damper: Damper, policy: Policy, better_since_ms: int) -> int:
    """Return when a scope that has been better since then may be promoted."""
    normal_ms = span_ms(policy.timing.promote_dwell_s)
    if not damper.slow:
        return better_since_ms + normal_ms
    slow_ms = span_ms(policy.timing.promote_dwell_s * policy.damping.promote_factor)
    calm = max(_calm_at(damper, policy), better_since_ms + normal_ms)
    return min(better_since_ms + slow_ms, calm)


def _calm_at(damper: Damper, policy: Policy) -> int:
    halvings = math.log2(damper.penalty / policy.damping.normal_below)
    return damper.at_ms + math.ceil(halvings * span_ms(policy.damping.half_life_s)) + 1
