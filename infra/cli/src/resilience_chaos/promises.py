"""What must hold whatever breaks, judged from a record."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from http import HTTPStatus

from .record import CONTROL, NO_ANSWER, Call, Record

DEADLINES_S = {"availability": 0.5, "reserve": 1.3, "receive": 3.0, "image": 3.2, "assistant": 12.0}
"""How long a shop may wait for an answer, on a machine that is not busy with anything else."""
STEPS = 3
"""How often a call waits for the processor: when it comes, when its own deadline is over, when it is answered."""
USUAL_S = 0.05
APPLIED = frozenset({HTTPStatus.CREATED, HTTPStatus.ACCEPTED, HTTPStatus.OK})
OUT_OF_ORDER = frozenset({HTTPStatus.INTERNAL_SERVER_ERROR, HTTPStatus.BAD_GATEWAY})
"""What no fault excuses: 503 and 504 say that something is away, these that something is wrong."""


def broken(record: Record) -> list[str]:
    """Return every promise that was not kept, in words; none is as it should be."""
    return [*_went_back(record), *_slow(record), *_wrong(record), *miscounted(record)]


def miscounted(record: Record) -> list[str]:
    """Return what is wrong with the stock that was counted: writes that were lost, units sold twice."""
    return [*_lost(record), *_oversold(record)] if record.stock else []


def is_in_doubt(call: Call) -> bool:
    """Say whether nobody can be sure if a write was applied: it must be sent again under its key.

    A refusal as something is away belongs here: what could not be handed to Kafka in time may still arrive there.
    """
    return call.kind in {"receive", "reserve"} and (
        call.status == NO_ANSWER or call.status >= HTTPStatus.INTERNAL_SERVER_ERROR
    )


def machine_s(record: Record) -> float:
    """Return the longest that a call which needs nothing took."""
    return max((call.took_s for call in record.calls if call.kind == CONTROL), default=0.0)


def _went_back(record: Record) -> Iterator[str]:
    newest: dict[str, tuple[int, int]] = {}
    for sight in record.sights:
        before = newest.get(sight.consumer, sight.version)
        if sight.version < before:
            yield f"{sight.consumer} went back from version {before} to {sight.version}"
        newest[sight.consumer] = max(before, sight.version)


def _slow(record: Record) -> Iterator[str]:
    if "inventory-api" in record.faulted:
        return
    spare_s = STEPS * max(0.0, machine_s(record) - USUAL_S)
    for kind, deadline_s in DEADLINES_S.items():
        slow = [call for call in record.calls if call.kind == kind and call.took_s > deadline_s + spare_s]
        if slow:
            longest = max(slow, key=lambda call: call.took_s)
            yield (
                f"{len(slow)} answers to {kind} later than {deadline_s + spare_s:.2f} s; the latest took "
                f"{longest.took_s:.2f} s, at {longest.at_s:.1f} s"
            )


def _wrong(record: Record) -> Iterator[str]:
    excused = {NO_ANSWER} if "inventory-api" in record.faulted else set()
    wrong = Counter(
        (call.kind, call.status)
        for call in record.calls
        if (call.status in OUT_OF_ORDER or call.status == NO_ANSWER) and call.status not in excused
    )
    for (kind, status), number in wrong.items():
        yield f"{number} calls of {kind} got {'no answer' if status == NO_ANSWER else f'HTTP {status}'}"


def _lost(record: Record) -> Iterator[str]:
    accepted = sum(call.kind == "receive" and call.decided in APPLIED for call in record.calls)
    if record.stock["received"] != accepted:
        yield f"{accepted} receipts were accepted, {record.stock['received']} are in stock"


def _oversold(record: Record) -> Iterator[str]:
    held = sum(call.kind == "reserve" and call.decided in APPLIED for call in record.calls)
    units, reserved = record.stock["units"], record.stock["reserved"]
    if held > units:
        yield f"{held} holds of {units} units were granted"
    if held != reserved:
        yield f"{held} holds were granted, {reserved} units are reserved"
