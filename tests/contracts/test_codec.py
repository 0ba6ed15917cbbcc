from __future__ import annotations

import json
import re
from datetime import UTC

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resilience_contracts import CodecError, Event, UnknownEventError, decode, encode, tombstone
from tests.contracts.states import EXAMPLES, health_observed

SOURCE = "/services/health-monitor/monitor-1"
ENCODED = encode(health_observed(), SOURCE)


@pytest.mark.parametrize("event", EXAMPLES.values(), ids=EXAMPLES)
def test_an_event_comes_back_as_it_was_sent(event: Event) -> None:
    sent = encode(event, SOURCE, traceparent="00-" + "a" * 32 + "-" + "b" * 16 + "-01")

    got = decode(sent.value, sent.headers)

    assert got.event == event
    assert (got.id, got.source, got.time) == (event.event_id, SOURCE, event.time.astimezone(UTC))
    assert got.traceparent is not None


@pytest.mark.parametrize("event", EXAMPLES.values(), ids=EXAMPLES)
def test_structured_mode_is_read_too(event: Event) -> None:
    binary = encode(event, SOURCE)
    attributes = {name.removeprefix("ce_"): value.decode() for name, value in binary.headers}
    attributes.pop("content-type")
    assert binary.value is not None
    body = json.dumps({**attributes, "data": json.loads(binary.value)}).encode()

    got = decode(body, [("Content-Type", b"application/cloudevents+json; charset=UTF-8")])

    assert got.event == event


def with_header(name: str, value: bytes | None) -> list[tuple[str, bytes]]:
    kept = [(n, v) for n, v in ENCODED.headers if n != name]
    return kept if value is None else [*kept, (name, value)]


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "empty"),
        (b"", "empty"),
        (b"\x00\xff\xfe", "Invalid JSON"),
        (b"[1]", "should be an object"),
        (b"[" * 100_000, "Invalid JSON"),
        (b'"' + b"x" * 2_000_000 + b'"', "at most"),
        ((ENCODED.value or b"").replace(b'"sequence":9', b'"sequence":"9"'), "sequence"),
        ((ENCODED.value or b"").replace(b'"sequence":9', b'"sequence":1e400'), "sequence"),
        ((ENCODED.value or b"").replace(b"3.5", b"NaN"), "probe.recent.0.latency_ms"),
        ((ENCODED.value or b"").replace(b"12:00:00.000Z", b"12:00:00"), "timezone"),
        ((ENCODED.value or b"").replace(b"eu-west.store-042", b"../etc"), "scope"),
        (
            re.sub(
                rb'"observed_at":"[^"]+"', b'"observed_at":"0001-01-01T00:00:00+23:59"', ENCODED.value or b""
            ),
            "outside the years",
        ),
        (
            (ENCODED.value or b"").replace(b'"breaker":null', b'"breaker":{"state":"OPEN","interval_s":1}'),
            "exactly",
        ),
    ],
)
def test_a_bad_value_is_refused_with_its_reason(value: bytes | None, reason: str) -> None:
    with pytest.raises(CodecError, match=reason):
        decode(value, ENCODED.headers)


@pytest.mark.parametrize(
    ("headers", "error", "reason"),
    [
        ([], CodecError, "ce_specversion is missing"),
        (with_header("ce_specversion", b"2.0"), UnknownEventError, "version '2.0'"),
        (with_header("ce_type", b"retail.resilience.health.observed.v9"), UnknownEventError, "event type"),
        (with_header("ce_id", None), CodecError, "ce_id is missing"),
        (with_header("ce_time", b"yesterday"), CodecError, "ce_time"),
        (with_header("ce_time", b"2026-03-01T12:00:00"), CodecError, "ce_time has no time zone"),
        (with_header("ce_time", b"0001-01-01T00:00:00+23:59"), CodecError, "ce_time"),
        (with_header("ce_source", b"\xff"), CodecError, "UTF-8"),
        (with_header("content-type", b"application/cloudevents+json"), CodecError, "structured"),
    ],
)
def test_bad_attributes_are_refused_with_their_reason(
    headers: list[tuple[str, bytes]], error: type[CodecError], reason: str
) -> None:
    with pytest.raises(error, match=reason):
        decode(ENCODED.value, headers)


@given(
    value=st.one_of(st.binary(max_size=400), st.none()),
    headers=st.lists(
        st.tuples(
            st.sampled_from(["content-type", "ce_type", "ce_specversion", "ce_id", "x"]),
            st.binary(max_size=60),
        ),
        max_size=6,
    ),
)
def test_any_bytes_are_an_event_or_a_codec_error(
    value: bytes | None, headers: list[tuple[str, bytes]]
) -> None:
    with pytest.raises(CodecError):
        decode(value, headers)


def test_fields_of_a_newer_writer_are_ignored() -> None:
    value = (ENCODED.value or b"").replace(b"{", b'{"colour":"blue",', 1)

    assert decode(value, ENCODED.headers).event == health_observed()


@pytest.mark.parametrize("name", ["id", "source", "traceparent"])
def test_an_attribute_that_no_encoding_can_write_is_refused(name: str) -> None:
    """JSON can spell half of a surrogate pair; whoever printed such an attribute would fail."""
    attributes = {name.removeprefix("ce_"): value.decode() for name, value in ENCODED.headers}
    body = json.dumps({**attributes, name: "\ud800", "data": json.loads(ENCODED.value or b"")}).encode()

    with pytest.raises(CodecError, match="surrogate"):
        decode(body, [("content-type", b"application/cloudevents+json")])


def test_a_tombstone_has_no_value() -> None:
    assert tombstone("resilience.holds.v1", "default/level") == (
        "resilience.holds.v1",
        b"default/level",
        None,
        (),
    )
