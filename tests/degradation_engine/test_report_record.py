"""Reading without models: a subset of what the codec reads, with the same meaning."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from degradation_engine.adapters.report_record import Record, plain_report, read_report
from degradation_engine.domain import Report
from resilience_contracts import BreakerState, CodecError, HealthObserved, Outcome, decode, encode
from tests.contracts.states import level_changed
from tests.degradation_engine.records import stored
from tests.degradation_engine.shop import breaker, report

MONITOR = "/services/health-monitor/m1"
PROBE = encode(report("redis", [Outcome.OK, Outcome.TIMEOUT, Outcome.RATE_LIMITED], 0), MONITOR)
BREAKER = encode(breaker("openai", BreakerState.OPEN, 0), MONITOR)
DEEP = b'{"a":' * 300 + b"1" + b"}" * 300


def record(value: bytes | None, headers: Any = PROBE.headers) -> Record:
    return stored(b"default", value, headers)


def facts(event: Report) -> dict[str, Any]:
    """Everything the engine reads, times as whole milliseconds."""
    probe = event.probe and {
        "interval_s": event.probe.interval_s,
        "recent": [(seen.outcome, seen.latency_ms, whole_ms(seen.at)) for seen in event.probe.recent],
    }
    told = event.breaker and (
        event.breaker.state,
        event.breaker.failure_rate,
        event.breaker.slow_rate,
        event.breaker.interval_s,
    )
    return {
        "who": (event.scope, event.dependency, event.observer, event.sequence),
        "at": whole_ms(event.observed_at),
        "probe": probe,
        "breaker": told,
    }


def whole_ms(time: datetime) -> datetime:
    utc = time.astimezone(UTC)
    return utc.replace(microsecond=utc.microsecond // 1000 * 1000)


def reads_as_the_codec(message: Record) -> None:
    plain = plain_report(message)
    if plain is None:
        return
    event = decode(message.value, message.headers).event
    assert isinstance(event, HealthObserved)
    assert facts(plain) == facts(event)


@pytest.mark.parametrize("encoded", [PROBE, BREAKER], ids=["probe", "breaker"])
def test_what_our_own_services_send_is_plain(encoded: Any) -> None:
    message = record(encoded.value, encoded.headers)

    assert plain_report(message) is not None
    reads_as_the_codec(message)


AWKWARD: list[Any] = [
    None,
    True,
    "",
    " ",
    "default\n",
    "ä",
    "\ud800",
    "x" * 130,
    -1,
    0,
    1.0,
    2**53,
    2**53 + 1,
    1e400,
    float("nan"),
    [],
    {},
    "UNKNOWN",
    "2026-03-01T12:00:00",
    "2026-03-01T12:00:00.9999999Z",
    "2026-03-01 12:00:00.5+05:30",
    "0001-01-01T00:00:00+23:59",
    "9999-12-31T23:59:59.999-23:59",
    "2026-03-01T12:00Z",
    1772366400,
]
PLACES: list[tuple[str | int, ...]] = [
    ("scope",),
    ("dependency",),
    ("observer",),
    ("boot",),
    ("sequence",),
    ("observed_at",),
    ("probe",),
    ("breaker",),
    ("new_field",),
    ("probe", "interval_s"),
    ("probe", "retry_after_s"),
    ("probe", "recent"),
    ("probe", "recent", 0, "outcome"),
    ("probe", "recent", 1, "latency_ms"),
    ("probe", "recent", 2, "at"),
    ("breaker", "state"),
    ("breaker", "failure_rate"),
    ("breaker", "slow_rate"),
    ("breaker", "interval_s"),
]
ANY = st.sampled_from(AWKWARD) | st.floats() | st.integers() | st.text(max_size=3)


def changed(encoded: Any, changes: list[tuple[tuple[str | int, ...], Any]]) -> Record:
    data = json.loads(encoded.value)
    for path, value in changes:
        inner = data
        for step in path[:-1]:
            found = inner.get(step) if isinstance(inner, dict) else None
            if isinstance(inner, list) and isinstance(step, int) and step < len(inner):
                found = inner[step]
            inner = found
        if isinstance(inner, dict):
            inner[path[-1]] = value
    return record(json.dumps(data).encode(), encoded.headers)


@given(
    st.sampled_from([PROBE, BREAKER]),
    st.lists(st.tuples(st.sampled_from(PLACES), ANY), min_size=1, max_size=2),
)
def test_whatever_is_read_without_models_the_codec_reads_the_same(
    encoded: Any, changes: list[tuple[tuple[str | int, ...], Any]]
) -> None:
    reads_as_the_codec(changed(encoded, changes))


@pytest.mark.parametrize("encoded", [PROBE, BREAKER], ids=["probe", "breaker"])
@pytest.mark.parametrize("place", PLACES, ids=repr)
def test_every_awkward_value_in_every_place_is_read_as_the_codec_reads_it(
    encoded: Any, place: tuple[str | int, ...]
) -> None:
    for value in AWKWARD:
        reads_as_the_codec(changed(encoded, [(place, value)]))


@given(st.data())
def test_headers_are_read_as_the_codec_reads_them(data: st.DataObject) -> None:
    texts = st.sampled_from(
        [None, b"", b"1.0", b"2.0", b"x", b"\xff", b"application/json", b"yesterday", b"2026-03-01"]
    )
    headers = list(PROBE.headers)
    for _ in range(data.draw(st.integers(1, 3))):
        name = data.draw(
            st.sampled_from([*(name for name, _ in headers), "CE_TYPE", "Content-Type", "other"])
        )
        headers = [(n, v) for n, v in headers if n != name or data.draw(st.booleans())]
        if data.draw(st.booleans()):
            headers.append((name, data.draw(texts)))  # type: ignore[arg-type]

    reads_as_the_codec(record(PROBE.value, headers))


@pytest.mark.parametrize(
    "value",
    [
        (PROBE.value or b"")[:-1] + b',"new":' + DEEP + b"}",
        (PROBE.value or b"")[:-1] + b',"new":"' + b"x" * 10_000 + b'"}',
        (PROBE.value or b"")[:-1] + b',"sequence":7}',
        (PROBE.value or b"") + b" ",
        (PROBE.value or b"") + b"x",
        (PROBE.value or b"").replace(b"12:00:00.000Z", b"12:00:00.0009999Z"),
    ],
    ids=["deep", "long", "twice", "space", "trailing", "nanoseconds"],
)
def test_odd_json_is_read_as_the_codec_reads_it(value: bytes) -> None:
    reads_as_the_codec(record(value))


def test_what_is_not_plain_is_read_by_the_codec() -> None:
    value = (PROBE.value or b"").replace(b'"observer":"monitor-1"', '"observer":"é"'.encode())

    assert plain_report(record(value)) is None
    assert read_report(record(value)).observer == "é"


def test_fields_of_a_newer_writer_stay_plain() -> None:
    assert plain_report(record((PROBE.value or b"")[:-1] + b',"new_field":{"a":[1]}}')) is not None


def test_another_kind_of_event_is_refused() -> None:
    with pytest.raises(CodecError, match="not a health event"):
        read_report(record(*encode(level_changed(), MONITOR)[2:]))
