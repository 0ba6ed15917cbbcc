"""The audit chain of this service: what becomes an entry. Checking it is `resilience_contracts.audit`'s."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from resilience_contracts import AuditRecorded, HoldSet, format_time
from resilience_contracts.audit import GENESIS, entry_hash

PLACEHOLDER = "f" * 64

Values = Mapping[str, str | int | bool | None]


class Action(StrEnum):
    """What was done to a hold or to a subscription of webhooks."""

    SET = "hold.set"
    EXTEND = "hold.extend"
    CHANGE = "hold.change"
    END = "hold.end"
    EXPIRE = "hold.expire"
    NOT_STORED = "hold.not_stored"
    WEBHOOK_CREATE = "webhook.create"
    WEBHOOK_DELETE = "webhook.delete"
    WEBHOOK_REPLAY = "webhook.replay"
    WEBHOOK_ROTATE = "webhook.rotate"
    WEBHOOK_NOT_STORED = "webhook.not_stored"


@dataclass(frozen=True, slots=True)
class Deed:
    """Who did what to which target, and why."""

    action: Action
    scope: str
    target: str
    actor: str
    reason: str
    before: Values | None
    after: Values | None
    correlation_id: str

    def undone(self) -> Deed:
        """Return the entry that says it did not come to pass."""
        return replace(self, action=Action(f"{self.action.partition('.')[0]}.not_stored"))


class AuditChain:
    """The tip of one writer's chain; `extend` makes the next entry."""

    def __init__(self, writer: str) -> None:
        self._writer = writer
        self._sequence = 0
        self._previous_hash = GENESIS

    def resume(self, entry: AuditRecorded) -> None:
        """Go on after an entry that this writer stored before."""
        if entry.writer == self._writer and entry.sequence >= self._sequence:
            self._sequence, self._previous_hash = entry.sequence + 1, entry.hash

    def extend(self, deed: Deed, now: datetime) -> AuditRecorded:
        """Chain the next entry."""
        draft = AuditRecorded(
            scope=deed.scope,
            writer=self._writer,
            sequence=self._sequence,
            action=deed.action.value,
            target=deed.target,
            before=_copy(deed.before),
            after=_copy(deed.after),
            actor=deed.actor,
            reason=deed.reason,
            correlation_id=deed.correlation_id,
            recorded_at=now,
            previous_hash=self._previous_hash,
            hash=PLACEHOLDER,
        )
        entry = draft.model_copy(update={"hash": entry_hash(draft)})
        self._sequence, self._previous_hash = entry.sequence + 1, entry.hash
        return entry


def _copy(values: Values | None) -> dict[str, str | int | bool | None] | None:
    return None if values is None else dict(values)


def of_hold(hold: HoldSet | None) -> Values | None:
    """Return what an entry tells of a hold."""
    if hold is None:
        return None
    return {
        "hold_id": hold.hold_id,
        "version": hold.version,
        "state": hold.state.value if hold.state else None,
        "level": hold.level,
        "reason": hold.reason,
        "actor": hold.actor,
        "expires_at": format_time(hold.expires_at),
        "allow_better": hold.allow_better,
    }
