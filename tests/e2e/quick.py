"""The default policy with short dwell times, so that a whole outage and return takes seconds.

A busy machine is no outage: probes may be slow, and a monitor silent for six seconds, in which it is started again.
"""

from __future__ import annotations

import re

from resilience_contracts import Policy, default_policy_text, parse_policy

QUICK = {
    "interval_s": "0.5",
    "deadline_s": "0.8",
    "latency_objective_ms": "2000",
    "demote_dwell_s": "1",
    "promote_dwell_s": "0.5",
    "heartbeat_s": "2",
    "fresh_intervals": "12",
    "stale_intervals": "24",
    "slow_above": "1000",
    "penalty_cap": "1000",
}


def quick_policy_text() -> str:
    """Return the policy; damping is out of reach, since one stack lives through many outages."""
    text = default_policy_text()
    for key, value in QUICK.items():
        text, found = re.subn(rf"\b{key}: [\d.]+", f"{key}: {value}", text)
        assert found, key
    return text


def quick_policy() -> Policy:
    return parse_policy(quick_policy_text())
