"""Checking the audit log: each entry of a writer carries the hash of the one before it.

The hash is SHA-256 over the entry's JSON with sorted keys and without its own `hash`, so that anybody can
check it with a JSON parser.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

from .events import AuditRecorded

GENESIS = "0" * 64


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


def log_faults(entries: Sequence[AuditRecorded]) -> Iterator[str]:
    """Name what is wrong with a whole log in the order in which it stands.

    That is what `faults` finds, a chain whose beginning is missing, and an entry that stands after a later one.
    Entries dropped from the end leave no trace; only an earlier copy shows them.
    """
    yield from faults(entries)
    tips: dict[str, int] = {}
    seen: set[str] = set()
    for entry in entries:
        tip = tips.get(entry.writer)
        if tip is None and entry.sequence > 0:
            yield f"{entry.event_id}: what came before it is missing"
        elif tip is not None and entry.sequence < tip and entry.hash not in seen:
            yield f"{entry.event_id}: stands after entry {tip}"
        tips[entry.writer] = max(tip or 0, entry.sequence)
        seen.add(entry.hash)


def lost(entries: Iterable[AuditRecorded], copy: Iterable[AuditRecorded]) -> Iterator[str]:
    """Name each entry of an earlier copy that a log does not have as it was."""
    have = {(entry.event_id, entry.hash) for entry in entries}
    missing = dict.fromkeys(e.event_id for e in copy if (e.event_id, e.hash) not in have)
    return (f"{name}: is in the earlier copy and not here as it was" for name in missing)


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
