"""What is lost on purpose, and how it is seen that the system lives on."""

from __future__ import annotations

from aiokafka.admin import AIOKafkaAdminClient

from resilience_contracts import Level, Topic
from tests.e2e.shop import Shop
from tests.e2e.test_outages import both_at
from tests.fixtures.stack import RunningStack


async def delete_topic(bootstrap: str, topic: Topic) -> None:
    """Delete a topic with all that is in it; return once it is gone."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        await admin.delete_topics([topic])
        while topic in await admin.list_topics():
            pass
    finally:
        await admin.close()


def follows(stack: RunningStack, shop: Shop, before: tuple[int, int]) -> None:
    """Show that levels still follow the truth, each newer than the last."""
    shop.availability()
    stack.stop("s3")
    during = both_at(shop, Level.DEGRADED)
    stack.restore("s3")
    assert before < during < both_at(shop, Level.OPTIMAL)
