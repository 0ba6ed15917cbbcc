"""Every port of the stack, the variable that moves it and where it is otherwise."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from resilience_cli.errors import StackError

from .sockets import free_ports

HIGHEST = 65_535

VARIABLES: Mapping[str, tuple[str, int]] = MappingProxyType(
    {
        "kafka": ("KAFKA_PORT", 9092),
        "kafka-controller": ("KAFKA_CONTROLLER_PORT", 9093),
        "postgresql": ("POSTGRES_PORT", 5433),
        "redis": ("REDIS_PORT", 6380),
        "s3": ("S3_PORT", 4566),
        "openai": ("OPENAI_PORT", 4010),
        "inventory-api": ("INVENTORY_API_PORT", 9000),
        "flag-service": ("FLAG_SERVICE_PORT", 9001),
        "health-monitor": ("HEALTH_MONITOR_PORT", 9002),
        "degradation-engine": ("DEGRADATION_ENGINE_PORT", 9003),
        "inventory-api-metrics": ("INVENTORY_API_METRICS_PORT", 9100),
        "flag-service-metrics": ("FLAG_SERVICE_METRICS_PORT", 9101),
        "health-monitor-metrics": ("HEALTH_MONITOR_METRICS_PORT", 9102),
        "degradation-engine-metrics": ("DEGRADATION_ENGINE_METRICS_PORT", 9103),
    }
)

Ports = Mapping[str, int]


def variable_of(name: str) -> str:
    """Name the environment variable that moves a port; those of proxies are chosen anew at each start."""
    return VARIABLES[name][0] if name in VARIABLES else "nothing (start again: another is chosen)"


def ports_from(environment: Mapping[str, str]) -> Ports:
    """Read every port from the environment, or take its default.

    Raises:
        StackError: one is no port, or two are the same.
    """
    ports = {name: _read(environment, *where) for name, where in VARIABLES.items()}
    for name, port in ports.items():
        twin = next((other for other in ports if ports[other] == port and other != name), None)
        if twin:
            raise StackError(
                f"{variable_of(twin)} and {variable_of(name)} are both {port}",
                "set one of them to another port",
            )
    return ports


def private_ports() -> Ports:
    """Choose free ports for a stack that runs beside others."""
    return dict(zip(VARIABLES, free_ports(len(VARIABLES)), strict=True))


def _read(environment: Mapping[str, str], variable: str, default: int) -> int:
    given = environment.get(variable) or str(default)
    if given.isdecimal() and 0 < int(given) <= HIGHEST:
        return int(given)
    raise StackError(
        f"{variable}={given} is not a port", f"set it to a number from 1 to {HIGHEST}, or unset it"
    )
