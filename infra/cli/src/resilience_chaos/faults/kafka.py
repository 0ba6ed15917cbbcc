"""The broker that leads a partition, lost: another one has to take over."""

from __future__ import annotations

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError
from aiokafka.structs import TopicPartition

from resilience_cli.apart import run_apart
from resilience_cli.errors import StackError
from resilience_cli.stack import restore_part, stop_part
from resilience_cli.stack.layout import brokers

from .site import Mend, Site

PARTITION = 0


def lose_leader(site: Site, _part: str, topic: str) -> Mend:
    """Kill the broker that leads the first partition of a topic."""
    require_brokers(site, _part)
    node = run_apart(_leader(site.state.env["KAFKA_BOOTSTRAP_SERVERS"], topic))
    names = {node: name for name, node in brokers(site.state.ports).items()}
    if node not in names:
        raise StackError(f"nobody leads {topic}", "name a topic that exists, when every broker is up")
    stop_part(site.root, names[node])
    return lambda: restore_part(site.root, names[node])


def require_brokers(site: Site, _part: str) -> None:
    """Check that there is another broker to take over.

    Raises:
        StackError: there is not.
    """
    if len(brokers(site.state.ports)) == 1:
        raise StackError(
            "this stack has one broker, so no other can lead", "start it with `resilience up --brokers 3`"
        )


async def _leader(bootstrap: str, topic: str) -> int | None:
    client = AIOKafkaClient(bootstrap_servers=bootstrap, request_timeout_ms=5000)
    try:
        await client.bootstrap()
        client.add_topic(topic)
        await client.force_metadata_update()
        leader: int | None = client.cluster.leader_for_partition(TopicPartition(topic, PARTITION))
    except KafkaError as error:
        raise StackError(
            f"Kafka does not say who leads {topic} ({error})", "see `resilience status`"
        ) from error
    else:
        return leader
    finally:
        await client.close()
