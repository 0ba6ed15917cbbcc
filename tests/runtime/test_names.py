"""Topics that are read under other names than they are applied."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from resilience_runtime import MemoryBus, Message


class Prefixed:
    """Reads `b.x` beside `x`; the key `bad` may not be in `b.x`."""

    def topics(self, topics: Iterable[str]) -> tuple[str, ...]:
        return tuple(name for topic in topics for name in (topic, f"b.{topic}"))

    def home(self, topic: str) -> str:
        return topic.removeprefix("b.")

    def fault(self, topic: str, key: bytes | None) -> str | None:
        return "not here" if topic == "b.x" and key == b"bad" else None


async def test_records_come_under_their_home_name_and_say_where_they_were_read() -> None:
    bus, applied, refused = MemoryBus(), list[Message](), list[tuple[Message, Exception]]()

    async def on_bad(message: Message, error: Exception) -> None:
        refused.append((message, error))

    for topic, key in (("x", b"a"), ("b.x", b"b"), ("x", b"bad"), ("b.x", b"bad")):
        await bus.publish(topic, key, b"1")
    reader = bus.reader(("x",), applied.append, on_bad=on_bad, names=Prefixed())
    reading = asyncio.create_task(reader.run())
    async with asyncio.timeout(10):
        await reader.wait_caught_up()
    reading.cancel()

    assert {(message.topic, message.read_from, message.key) for message in applied} == {
        ("x", None, b"a"),
        ("x", "b.x", b"b"),
        ("x", None, b"bad"),
    }
    ((message, error),) = refused
    assert (message.topic, message.read_from, str(error)) == ("x", "b.x", "not here")
