"""The audit chain: each entry of a writer carries the hash of the one before it.

The hash is SHA-256 over the entry's JSON with sorted keys and without its own `hash`, so that anybody can
check it with a JSON parser.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from itertools import groupby

from resilience_contracts import AuditRecorded, HoldSet, format_time

GENESIS = "0" * 64
PLACEHOLDER = "f" * 64

Values = Mapping[str, str | int | bool | None]


class Action(StrEnum):
    """What was done to a hold."""

    SET = "hold.set"
    EXTEND = "hold.extend"
    CHANGE = "hold.change"
    END = "hold.end"
    EXPIRE = "hold.expire"
    NOT_STORED = "hold.not_stored"


@dataclass(frozen=True, slots=True)
class Deed:
    """Who did what to which hold, and why."""

    action: Action
    scope: str
    target: str
    actor: str
    reason: str
    before: HoldSet | None
    after: HoldSet | None
    correlation_id: str

    def undone(self) -> Deed:
        """Return the entry that says it did not come to pass."""
        return replace(self, action=Action.NOT_STORED)


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
            before=_values(deed.before),
            after=_values(deed.after),
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


def entry_hash(entry: AuditRecorded) -> str:
    """Compute the hash that an entry must carry."""
    content = entry.model_dump(mode="json", exclude={"hash"})
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def faults(entries: Iterable[AuditRecorded]) -> Iterator[str]:
    """Name each entry that was changed or does not follow the one before it; an exact duplicate is no fault.

    A writer's sequence numbers give the order. What came before its first entry given here is not judged.
    """
    ordered = sorted(entries, key=lambda entry: (entry.writer, entry.sequence))
    for _, chain in groupby(ordered, key=lambda entry: entry.writer):
        tip: AuditRecorded | None = None
        for entry in chain:
            if entry != tip:
                yield from _entry_faults(entry, tip)
            tip = entry


def _entry_faults(entry: AuditRecorded, tip: AuditRecorded | None) -> Iterator[str]:
    name = entry.event_id
    if entry.hash != entry_hash(entry):
        yield f"{name}: its content does not give its hash"
    if tip is None:
        if entry.sequence == 0 and entry.previous_hash != GENESIS:
            yield f"{name}: the first entry follows nothing"
    elif entry.sequence != tip.sequence + 1:
        yield f"{name}: entry {tip.sequence + 1} was expected here"
    elif entry.previous_hash != tip.hash:
        yield f"{name}: does not follow the entry before it"


def _values(hold: HoldSet | None) -> dict[str, str | int | bool | None] | None:
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
