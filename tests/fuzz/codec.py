"""The event codec under any bytes: an event that can be sent on, or a CodecError, and nothing else.

An input is a record as text: a line `name:value` for each header, an empty line, and the value.

    python -m tests.fuzz.codec FILE    does again what is in a file
"""

from __future__ import annotations

import sys
from datetime import UTC

import atheris

with atheris.instrument_imports(include=["resilience_contracts"]):
    from resilience_contracts import CodecError, Event, decode, encode

SOURCE = "/services/fuzz/one"
Header = tuple[str, bytes]


def record(data: bytes) -> tuple[list[Header], bytes]:
    """Read an input."""
    head, _, value = data.partition(b"\n\n")
    lines = (line.partition(b":") for line in head.split(b"\n") if line)
    return [(name.decode("utf-8", "replace"), text) for name, _, text in lines], value


def check(data: bytes) -> Event | None:
    """Decode an input; whatever comes of it must be fit to be sent on, and be the same when it arrives."""
    headers, value = record(data)
    try:
        envelope = decode(value, headers)
    except CodecError:
        return None
    for text in (envelope.id, envelope.source, envelope.traceparent or ""):
        text.encode()
    assert envelope.time is None or envelope.time.tzinfo is UTC, "a time that cannot be compared"
    sent = encode(envelope.event, SOURCE)
    assert decode(sent.value, sent.headers).event == envelope.event, "it came back as another"
    return envelope.event


def main() -> None:
    """Hand over to libFuzzer; the arguments are its own."""
    atheris.Setup(sys.argv, check)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
