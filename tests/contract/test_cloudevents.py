"""The published cloudevents SDK is the oracle: it reads what we write, and we read what it writes."""

from __future__ import annotations

import json

import pytest
from cloudevents.core.bindings.kafka import (
    KafkaMessage,
    from_kafka_event,
    to_binary_event,
    to_structured_event,
)

from resilience_contracts import Event, decode, encode
from tests.contracts.states import EXAMPLES

SOURCE = "/services/flag-service/one"


def message(event: Event) -> KafkaMessage:
    encoded = encode(event, SOURCE)
    return KafkaMessage(headers=dict(encoded.headers), key=encoded.key, value=encoded.value or b"")


@pytest.mark.parametrize("event", EXAMPLES.values(), ids=EXAMPLES)
def test_the_sdk_reads_our_records(event: Event) -> None:
    read = from_kafka_event(message(event))

    assert read.get_type() == event.type
    assert read.get_id() == event.event_id
    assert read.get_subject() == event.subject
    assert read.get_time() == event.time
    assert read.get_data() == json.loads(event.model_dump_json())


@pytest.mark.parametrize("write", [to_binary_event, to_structured_event])
@pytest.mark.parametrize("event", EXAMPLES.values(), ids=EXAMPLES)
def test_we_read_what_the_sdk_writes(event: Event, write: type) -> None:
    written = write(from_kafka_event(message(event)))

    assert decode(written.value, written.headers.items()).event == event
