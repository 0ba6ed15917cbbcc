"""What a stack consists of, and what each part is told of the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from . import openai, s3
from .kafka import Kafka
from .mirror import MIRROR, Mirror, Region
from .network import NETWORK, Network, clock_file, kafka_ways, openai_env, port_for
from .openai import OpenAI
from .part import Part, Place
from .ports import Ports
from .postgresql import PostgreSQL
from .redis import Redis
from .s3 import S3
from .security import Security
from .service import Service
from .sockets import free_ports
from .standby import STANDBY, Standby

DEPENDENCIES = ("postgresql", "redis", "s3", "openai")
BACKING = ("kafka", *DEPENDENCIES)
SERVICES = ("degradation-engine", "flag-service", "inventory-api", "health-monitor")
PARTS = (*BACKING, *SERVICES)
TOPICS = "topics"
FURTHER_BROKERS = {"kafka-2": 2, "kafka-3": 3}
"""Parts of a stack with three brokers, each with its node."""

# health-monitor comes last: a dependency that is still starting is not one that is down.
NEEDS: Mapping[str, Sequence[str]] = {
    TOPICS: ("kafka", *FURTHER_BROKERS),
    STANDBY: ("postgresql",),
    MIRROR: (TOPICS,),
    "degradation-engine": (TOPICS, NETWORK),
    "flag-service": (TOPICS, NETWORK),
    "inventory-api": (TOPICS, NETWORK, *DEPENDENCIES),
    "health-monitor": (TOPICS, NETWORK, *DEPENDENCIES),
}


def broker_ports() -> dict[str, int]:
    """Choose free ports for the further brokers of a stack that has three."""
    names = [name for broker in FURTHER_BROKERS for name in (broker, f"{broker}-controller")]
    return dict(zip(names, free_ports(len(names)), strict=True))


def standby_port() -> dict[str, int]:
    """Choose a free port for the second PostgreSQL of a stack that has one."""
    return {STANDBY: free_ports(1)[0]}


def brokers(ports: Ports) -> dict[str, int]:
    """Return the brokers of a stack, each with its node."""
    return {name: node for name, node in {"kafka": 1, **FURTHER_BROKERS}.items() if name in ports}


def kafka(place: Place, ports: Ports, secured: bool, name: str = "kafka") -> Kafka:
    """Build a broker."""
    members = {node: (ports[each], ports[f"{each}-controller"]) for each, node in brokers(ports).items()}
    node = brokers(ports)[name]
    port, controller_port = members.pop(node)
    security = Security(place) if secured else None
    return Kafka(
        place, port, controller_port, kafka_ways(ports), security, name=name, node=node, others=members
    )


def backing_parts(place: Place, ports: Ports, secured: bool) -> dict[str, Part]:
    """Build what the services depend on."""
    parts: list[Part] = [
        *(kafka(place, ports, secured, name) for name in brokers(ports)),
        PostgreSQL(place, ports["postgresql"], followed=STANDBY in ports),
        Redis(place, ports["redis"]),
        S3(place, ports["s3"]),
        OpenAI(place, ports["openai"]),
    ]
    if STANDBY in ports:
        parts.append(Standby(place, ports[STANDBY], primary_port=ports["postgresql"]))
    if NETWORK in ports:
        parts.append(Network(place, ports))
    return {part.name: part for part in parts}


def mirror(place: Place, ports: Ports, sources: Mapping[str, str]) -> dict[str, Part]:
    """Build the mirror of other regions, if there are any."""
    return {MIRROR: Mirror(place, f"127.0.0.1:{ports['kafka']}", sources)} if sources else {}


def services(place: Place, ports: Ports, env: Mapping[str, str]) -> dict[str, Part]:
    """Build the four services, each told who it is where Kafka asks."""
    broker = kafka(place, ports, is_secured(env))
    return {
        name: Service(
            place,
            name,
            ports[name],
            ports[f"{name}-metrics"],
            {**env, **broker.env(name), **through_links(place, ports, name)},
            clock_file(place, name) if NETWORK in ports else None,
        )
        for name in SERVICES
    }


def through_links(place: Place, ports: Ports, service: str) -> dict[str, str]:
    """Return what a service is told of its dependencies when a proxy stands before them; nothing without one."""
    if NETWORK not in ports:
        return {}
    return {
        "KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:{port_for(ports, 'kafka', service)}",
        "DATABASE_URL": PostgreSQL(place, port_for(ports, "postgresql", service)).url,
        "REDIS_URL": Redis(place, port_for(ports, "redis", service)).url,
        "S3_ENDPOINT_URL": S3(place, port_for(ports, "s3", service)).endpoint,
        **openai_env(place, port_for(ports, "openai", service)),
    }


def is_secured(env: Mapping[str, str]) -> bool:
    """Say of the environment of a stack whether its Kafka asks who comes."""
    return "KAFKA_SECURITY_PROTOCOL" in env


def environment(
    place: Place, ports: Ports, policy_file: Path | None, secured: bool, region: Region
) -> dict[str, str]:
    """Return what a developer's shell needs in order to use the stack, and a service all but who it is."""
    env = {
        **kafka(place, ports, secured).env(),
        "DATABASE_URL": PostgreSQL(place, ports["postgresql"]).url,
        "REDIS_URL": Redis(place, ports["redis"]).url,
        "S3_ENDPOINT_URL": S3(place, ports["s3"]).endpoint,
        "S3_BUCKET": s3.BUCKET,
        "AWS_ACCESS_KEY_ID": s3.ACCESS_KEY_ID,
        "AWS_SECRET_ACCESS_KEY": s3.SECRET_ACCESS_KEY,
        "AWS_REGION": s3.REGION,
        "OPENAI_BASE_URL": OpenAI(place, ports["openai"]).base_url,
        "OPENAI_API_KEY": openai.API_KEY,
        "OPENAI_MODEL": openai.MODEL,
        "API_KEYS_FILE": str(place.secret("api-keys.json")),
        # The stack listens on loopback alone: who is on this machine needs no key, except to administer.
        "ANONYMOUS_SCOPES": "read,reserve,write",
        "INVENTORY_URL": f"http://127.0.0.1:{ports['inventory-api']}",
    }
    return env | region.env() | ({"RESILIENCE_POLICY_FILE": str(policy_file)} if policy_file else {})
