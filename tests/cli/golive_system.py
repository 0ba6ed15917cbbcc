"""A system of which every point holds, until one fact is changed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

from resilience_cli.errors import StackError
from resilience_contracts import Level

AWAY = StackError("it does not answer", "start it")


@dataclass
class Facts:
    """Each fact is what the method of the same name tells; an error is raised."""

    encrypted: object = True
    rights_that_differ: object = ()
    topics_that_differ: object = ()
    copies: object = field(default_factory=lambda: {"resilience.levels.v1": 3})
    replicas: object = field(default_factory=lambda: {"flag-service": 2, "degradation-engine": 3})
    not_ready: object = ()
    level: object = (Level.OPTIMAL, False)
    holds: object = ()
    dead_letters: object = ()
    audit_faults: object = ()
    contradictions: object = field(default_factory=lambda: {"1_stock": 0.0})
    policy_differs: object = False
    open_doors: object = ()
    smoke_failures: object = ()
    missing_alerts: object = ()
    alertmanagers: object = ("http://alertmanager:9093",)
    not_scraped: object = ()


class TellingSystem:
    """Tells facts."""

    def __init__(self, facts: Facts) -> None:
        self._facts = facts
        self.places: Mapping[str, str] = defaultdict(lambda: "http://here")

    def __getattr__(self, name: str) -> object:
        fact = getattr(self._facts, name)

        def told() -> object:
            if isinstance(fact, StackError):
                raise fact
            return fact

        return told
