"""CloudEvents 1.0 on Kafka: events to records and back, binary mode out, binary and structured mode in.

Source: CloudEvents Kafka protocol binding 1.0.2. Why this is our own code: docs/adr/0003.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple

from pydantic import ValidationError

from .errors import CodecError, UnknownEventError
from .event_types import EVENTS
from .events import Event, format_time

MAX_VALUE_BYTES = 512 * 1024
SPEC_VERSION = "1.0"
JSON = "application/json"
STRUCTURED = "application/cloudevents"
SCHEMA_ROOT = "https://schemas.retail-resilience.invalid"

_BY_TYPE = {event.type: event for event in EVENTS}

Headers = tuple[tuple[str, bytes], ...]


class Encoded(NamedTuple):
    """A record ready to be published: `publisher.publish(*encode(event, source))`."""

    topic: str
    key: bytes
    value: bytes | None
    headers: Headers


@dataclass(frozen=True, slots=True)
class Envelope:
    """An event with the attributes it travelled with."""

    event: Event
    id: str
    source: str
    time: datetime | None
    traceparent: str | None


def schema_uri(event: type[Event]) -> str:
    """Name the JSON Schema of an event's data."""
    return f"{SCHEMA_ROOT}/{event.type}.json"


def encode(event: Event, source: str, traceparent: str | None = None) -> Encoded:
    """Write an event in binary mode.

    Args:
        event: what to send.
        source: who sends it, as `/services/<service>/<instance>`.
        traceparent: W3C trace context to pass on.
    """
    attributes = {
        "ce_specversion": SPEC_VERSION,
        "ce_id": event.event_id,
        "ce_source": source,
        "ce_type": event.type,
        "ce_subject": event.subject,
        "ce_time": format_time(event.time),
        "ce_dataschema": schema_uri(type(event)),
        "content-type": JSON,
    }
    if traceparent:
        attributes["ce_traceparent"] = traceparent
    headers = tuple((name, value.encode()) for name, value in attributes.items())
    return Encoded(str(event.topic), event.key.encode(), event.model_dump_json().encode(), headers)


def tombstone(topic: str, key: str) -> Encoded:
    """Write the record that ends a key of a compacted topic."""
    return Encoded(topic, key.encode(), None, ())


def decode(value: bytes | None, headers: Iterable[tuple[str, bytes | None]]) -> Envelope:
    """Read a record in binary or structured mode.

    Raises:
        CodecError: empty or oversized, not UTF-8, not JSON, not an object, or against the event's model.
        UnknownEventError: a CloudEvents version, event type or content type that this code does not know.
    """
    if not value:
        raise CodecError("the value is empty")
    if len(value) > MAX_VALUE_BYTES:
        raise CodecError(f"the value has {len(value)} bytes; at most {MAX_VALUE_BYTES} are read")
    attributes = _header_attributes(headers)
    if attributes.get("content-type", JSON).lower().startswith(STRUCTURED):
        attributes, value = _unwrap(value)
    return Envelope(
        event=_parse(attributes, value),
        id=_required(attributes, "ce_id"),
        source=_required(attributes, "ce_source"),
        time=_time(attributes.get("ce_time")),
        traceparent=attributes.get("ce_traceparent"),
    )


def _header_attributes(headers: Iterable[tuple[str, bytes | None]]) -> dict[str, str]:
    try:
        return {name.lower(): (value or b"").decode() for name, value in headers}
    except UnicodeDecodeError as error:
        raise CodecError("a header is not UTF-8") from error


def _unwrap(value: bytes) -> tuple[dict[str, str], bytes]:
    try:
        envelope = json.loads(value)
    except (UnicodeDecodeError, ValueError, RecursionError) as error:
        raise CodecError(f"the value is not JSON: {type(error).__name__}") from error
    if not isinstance(envelope, dict) or not isinstance(envelope.get("data"), dict):
        raise CodecError("a structured event is an object with an object in `data`")
    attributes = {f"ce_{name}": text for name, text in envelope.items() if isinstance(text, str)}
    if not all(map(_is_unicode, attributes.values())):
        raise CodecError("an attribute has half of a surrogate pair, which is no Unicode text")
    return attributes, json.dumps(envelope["data"]).encode()


def _is_unicode(text: str) -> bool:
    return not any("\ud800" <= letter <= "\udfff" for letter in text)


def _required(attributes: dict[str, str], name: str) -> str:
    value = attributes.get(name, "")
    if not value:
        raise CodecError(f"attribute {name} is missing")
    return value


def _time(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        time = datetime.fromisoformat(text)
        if time.tzinfo is None:
            raise CodecError("attribute ce_time has no time zone")
        return time.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise CodecError("attribute ce_time is not an RFC 3339 time") from error


def _parse(attributes: dict[str, str], value: bytes) -> Event:
    version = _required(attributes, "ce_specversion")
    if version != SPEC_VERSION:
        raise UnknownEventError(f"CloudEvents version {version[:20]!r}; {SPEC_VERSION} is read")
    kind = _required(attributes, "ce_type")
    model = _BY_TYPE.get(kind)
    if model is None:
        raise UnknownEventError(f"event type {kind[:80]!r}")
    try:
        return model.model_validate_json(value, strict=True)
    except ValidationError as error:
        raise CodecError(_explain(error)) from error


def _explain(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(str(step)[:60] for step in first["loc"]) or "value"
    return f"{where}: {first['msg']} ({error.error_count()} fault(s))"[:500]
