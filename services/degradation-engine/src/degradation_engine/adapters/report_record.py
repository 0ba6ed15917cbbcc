"""A health event as a record: read into flat structs where it is plain, by the codec where it is not.

The codec's models cost a hundred microseconds an event, which is more than judging it does. What is read here is a
subset of what the codec reads, with the same meaning; whatever is refused here is for the codec to read or to refuse,
so that the reasons in dead letters have one source.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, TypeAlias

import msgspec
from aiokafka import ConsumerRecord
from msgspec import Meta, Struct

from degradation_engine.domain import Report
from resilience_contracts import BreakerState, CodecError, HealthObserved, Outcome, decode

NAMES = (
    "ce_specversion",
    "ce_id",
    "ce_source",
    "ce_type",
    "ce_subject",
    "ce_time",
    "ce_dataschema",
    "content-type",
)
TRACED_NAMES = (*NAMES, "ce_traceparent")
"""Headers in the order of `encode`: to compare them all at once costs a quarter of looking for each."""
HEADER_COUNTS = (len(NAMES), len(TRACED_NAMES))
SPEC_VERSION, KIND, JSON = b"1.0", HealthObserved.type.encode(), b"application/json"
SPEC_VERSION_AT, KIND_AT, JSON_AT, TIME_AT = map(
    NAMES.index, ("ce_specversion", "ce_type", "content-type", "ce_time")
)
LARGEST_BYTES = 8192
BRACKETS = 20
"""A report has 15; more may be nested too deeply for the codec."""
TOO_EXACT = re.compile(rb"\.\d{7,}[Zz+-]")
"""A time beyond microseconds, which msgspec rounds and the codec cuts."""
EAST, LAST_YEAR = b"+", b"9999-"
"""East of UTC the year 1, and west of it the year 9999, has an edge that UTC cannot say, which the codec refuses."""

Record: TypeAlias = ConsumerRecord[bytes, bytes]

Time = Annotated[datetime, Meta(tz=True)]
Interval = Annotated[float, Meta(gt=0, le=3600)]
Rate = Annotated[float, Meta(ge=0, le=1)]


class Seen(Struct, frozen=True, gc=False):
    """An `Observation`."""

    outcome: Outcome
    latency_ms: Annotated[float, Meta(ge=0, le=600_000)]
    at: Time


class ProbeStruct(Struct, frozen=True, gc=False):
    """A `ProbeReport`."""

    recent: Annotated[tuple[Seen, ...], Meta(min_length=1, max_length=12)]
    interval_s: Interval
    retry_after_s: Annotated[float, Meta(ge=0, le=86_400)] | None = None


class BreakerStruct(Struct, frozen=True, gc=False):
    """A `BreakerReport`."""

    state: BreakerState
    interval_s: Interval
    failure_rate: Rate | None = None
    slow_rate: Rate | None = None


class HealthStruct(Struct, frozen=True, gc=False):
    """A `HealthObserved`."""

    scope: Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9-]*(\.[a-z0-9][a-z0-9-]*)*\Z", max_length=100)]
    dependency: Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_-]*\Z", max_length=40)]
    observer: Annotated[str, Meta(min_length=1, max_length=120)]
    boot: Annotated[str, Meta(min_length=1, max_length=40)]
    sequence: Annotated[int, Meta(ge=0, le=2**53)]
    observed_at: Time
    probe: ProbeStruct | None = None
    breaker: BreakerStruct | None = None


_read = msgspec.json.Decoder(HealthStruct).decode


def read_report(record: Record) -> Report:
    """Read a record of the health topic.

    Raises:
        CodecError: it cannot be read, or is another kind of event.
    """
    report = plain_report(record)
    if report is not None:
        return report
    event = decode(record.value, record.headers).event
    if not isinstance(event, HealthObserved):
        raise CodecError(f"{event.type} is not a health event")
    return event


def plain_report(record: Record) -> HealthStruct | None:
    """Return the report of a record that is as `encode` writes it; None leaves the record to the codec."""
    value = record.value
    if not value or not _is_plain(value) or not _are_plain(record.headers):
        return None
    try:
        report = _read(value)
    except (msgspec.MsgspecError, RecursionError):
        return None
    return report if (report.probe is None) is not (report.breaker is None) else None


def _is_plain(value: bytes) -> bool:
    return (
        len(value) <= LARGEST_BYTES
        and value.isascii()
        and b"\\" not in value
        and value.count(b"[") + value.count(b"{") <= BRACKETS
        and EAST not in value
        and LAST_YEAR not in value
        and TOO_EXACT.search(value) is None
    )


def _are_plain(headers: Sequence[tuple[str, bytes]]) -> bool:
    if len(headers) not in HEADER_COUNTS:
        return False
    names, values = zip(*headers, strict=True)
    return (
        names in (NAMES, TRACED_NAMES)
        and values[SPEC_VERSION_AT] == SPEC_VERSION
        and values[KIND_AT] == KIND
        and values[JSON_AT] == JSON
        and all(values)
        and b"".join(values).isascii()
        and _is_time(values[TIME_AT])
    )


def _is_time(text: bytes) -> bool:
    try:
        datetime.fromisoformat(text.decode())
    except ValueError:
        return False
    return True
