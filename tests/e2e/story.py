"""What is seen of a freeze: calls, connections and events, on one clock."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from resilience_contracts import BreakerState, Health, HealthObserved, LevelState

DEPENDENCY = "postgresql"
CONTROL = "control"
"""The kind of a call that needs no dependency: what it waits for is the machine's doing."""
NO_ANSWER = 0
"""The status of a call that got none."""

Event = HealthObserved | LevelState


@dataclass(frozen=True, slots=True)
class Called:
    """One call of a client. `took_s` counts from when it was due, so that a late client hides nothing."""

    kind: str
    due_s: float
    took_s: float
    status: int


@dataclass(frozen=True, slots=True)
class Connections:
    """Client backends at one moment; `sessions` counts those begun since the database was made."""

    at_s: float
    inventory: int
    everybody: int
    sessions: int


@dataclass(frozen=True, slots=True)
class Heard:
    """A record of the health or level topic, and when it came."""

    at_s: float
    offset: int
    event: Event


@dataclass(slots=True)
class Story:
    """Everything seen; times are of one monotonic clock."""

    began_s: float = field(default_factory=time.monotonic)
    frozen_s: float = 0.0
    thawed_s: float = 0.0
    back_s: float = 0.0
    calls: list[Called] = field(default_factory=list)
    connections: list[Connections] = field(default_factory=list)
    heard: list[Heard] = field(default_factory=list)

    def during(self) -> list[Called]:
        """Return the calls that were due while the server was frozen, and needed something."""
        return [call for call in self._frozen() if call.kind != CONTROL]

    def control(self) -> list[Called]:
        """Return those that needed nothing."""
        return [call for call in self._frozen() if call.kind == CONTROL]

    def _frozen(self) -> list[Called]:
        return [call for call in self.calls if self.frozen_s <= call.due_s < self.thawed_s]

    def last(self, wanted: Callable[[Event], bool]) -> Event | None:
        """Return the newest record that is wanted."""
        return next((h.event for h in reversed(self.heard) if wanted(h.event)), None)

    def first(self, wanted: Callable[[Event], bool]) -> Heard | None:
        """Return the first record since the freeze that is wanted."""
        return next((h for h in self.heard if h.at_s >= self.frozen_s and wanted(h.event)), None)

    def peak(self, since_s: float, until_s: float = float("inf")) -> tuple[int, int]:
        """Return the most connections that were seen: inventory-api's, everybody's."""
        seen = [each for each in self.connections if since_s <= each.at_s < until_s]
        return max((e.inventory for e in seen), default=0), max((e.everybody for e in seen), default=0)

    def sessions_in_a_second(self) -> int:
        """Return the most sessions begun within one second after the thaw, with those begun in the freeze."""
        before = [each for each in self.connections if each.at_s < self.frozen_s][-1]
        # For the server the freeze took no time: what queued for it comes at once.
        seen = [replace(before, at_s=self.thawed_s)]
        seen += [each for each in self.connections if each.at_s >= self.thawed_s]
        return max(
            later.sessions - earlier.sessions
            for earlier in seen
            for later in seen
            if 0 <= later.at_s - earlier.at_s <= 1
        )


def breaker_reported(event: Event) -> bool:
    """Say whether a replica tells of its breaker."""
    return isinstance(event, HealthObserved) and event.dependency == DEPENDENCY and event.breaker is not None


def probe_reported(event: Event) -> bool:
    """Say whether a monitor tells of its probe."""
    return isinstance(event, HealthObserved) and event.dependency == DEPENDENCY and event.probe is not None


def breaker_opened(event: Event) -> bool:
    """Say whether a replica reports its breaker open."""
    return (
        isinstance(event, HealthObserved)
        and event.dependency == DEPENDENCY
        and event.breaker is not None
        and event.breaker.state is BreakerState.OPEN
    )


def probe_missed(event: Event) -> bool:
    """Say whether a monitor reports that its newest probe found nobody."""
    return (
        isinstance(event, HealthObserved)
        and event.dependency == DEPENDENCY
        and event.probe is not None
        and event.probe.recent[-1].outcome.miss > 0
    )


def level_fell(event: Event) -> bool:
    """Say whether the level is below OPTIMAL and the dependency not well: a busy machine is slow in others too."""
    return (
        isinstance(event, LevelState)
        and event.rank > 0
        and event.dependencies[DEPENDENCY].health is not Health.UP
    )


def p99_s(calls: list[Called]) -> float:
    """Return the 99th percentile of what calls took."""
    return sorted(call.took_s for call in calls)[len(calls) * 99 // 100]


def allowed_s(story: Story) -> float:
    """Return the bound on the 99th percentile: 300 ms, and more only by what the machine itself adds.

    A call that needs no dependency takes 20 ms at most, unless the machine is busy. One that does waits for the
    processor three times: when it comes, when its deadline is over, when it is answered.
    """
    return 0.3 + 3 * max(0.0, p99_s(story.control()) - 0.02)


def told(story: Story) -> str:
    """Return the story for people."""
    calls = story.during()
    answers = sorted(Counter((call.kind, call.status) for call in calls).items())
    back_s = story.back_s - story.thawed_s
    moments = [_after(story, happened) for happened in (breaker_opened, level_fell, probe_missed)]
    peaks = [
        "{} {}/{}".format(label, *story.peak(since_s, until_s))
        for label, since_s, until_s in (
            ("before", story.began_s, story.frozen_s),
            ("in the 1st second after the thaw", story.thawed_s, story.thawed_s + 1),
            ("in the 2nd", story.thawed_s + 1, story.thawed_s + 2),
            ("until all was back", story.thawed_s + 2, story.back_s),
        )
    ]
    return "\n".join(
        (
            f"frozen for {story.thawed_s - story.frozen_s:.1f} s, all back {back_s:.1f} s later",
            "s after the freeze: breaker opened {}, level fell {}, probe missed {}".format(*moments),
            f"{len(calls)} calls meanwhile: p99 {_ms(p99_s(calls))}, longest {_ms(max(c.took_s for c in calls))}",
            f"p99 of calls that need no dependency: {_ms(p99_s(story.control()))}",
            "answers: " + ", ".join(f"{kind} {status}: {number}" for (kind, status), number in answers),
            "most connections of inventory-api/everybody: " + ", ".join(peaks),
            f"most sessions begun within a second: {story.sessions_in_a_second()}",
        )
    )


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms"


def _after(story: Story, wanted: Callable[[Event], bool]) -> str:
    heard = story.first(wanted)
    return "never" if heard is None else f"{heard.at_s - story.frozen_s:.2f}"
