from __future__ import annotations

import ssl

from flag_service.adapters.webhook_traces import TracedDeliveries
from flag_service.domain.subscription import Topical
from resilience_contracts import Topic
from resilience_delivery import AddressGuard, Message, WebhookSender
from resilience_runtime import SystemClock
from resilience_runtime.bus import Message as Record
from resilience_runtime.trace_context import HEADER
from resilience_runtime.tracing import NoTracing
from tests.delivery.receiver import receiving
from tests.flag_service.running import LOOPBACK

MESSAGE = Message("msg_1", "t", Topical.LEVEL, "default", "level:default", "{}")
SECRET = f"whsec_{'a' * 44}"


def record(topic: str, key: str, traceparent: str | None) -> Record:
    headers = ((HEADER, traceparent.encode()),) if traceparent else ()
    return Record(topic, key.encode(), b"{}", headers, 0, 0, 0)


async def test_a_delivery_goes_on_with_the_trace_of_the_newest_record_of_its_subject() -> None:
    first, second = (f"00-{digit * 32}-{digit * 16}-01" for digit in "12")
    taken: list[Record] = []
    sender = WebhookSender(AddressGuard(LOOPBACK), ssl.create_default_context(), SystemClock())
    deliveries = TracedDeliveries(sender, NoTracing())
    take = deliveries.noting(taken.append)
    for topic, key, trace in (
        (Topic.LEVEL_CHANGES, "default", first),
        (Topic.LEVEL_CHANGES, "other", second),
        (Topic.HOLDS, "default", second),
        (Topic.LEVELS, "default", second),
    ):
        take(record(topic, key, trace))

    async with receiving() as receiver:
        await deliveries.send(receiver.url, [SECRET], MESSAGE)
        take(record(Topic.LEVEL_CHANGES, "default", None))
        await deliveries.send(receiver.url, [SECRET], MESSAGE)

    assert len(taken) == 5
    assert [request.headers.get("traceparent") for request in receiver.requests] == [first, None]
