"""TCP proxies between the services and what they depend on, so that the network can fail.

One link to each dependency for all services, and one to Kafka for each service, so that one alone can be cut off.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

from .certificates import AUTHORITY, write_certificates
from .loopback_http import ask
from .part import NotReadyError, Place
from .ports import Ports
from .process import Command
from .sockets import free_ports

NETWORK = "network"
SHARED = ("postgresql", "redis", "s3", "openai")
CUT_OFF = ("degradation-engine", "flag-service", "inventory-api", "health-monitor")
LINKS = (*SHARED, *(f"kafka:{service}" for service in CUT_OFF))


def link_ports() -> dict[str, int]:
    """Choose free ports for the proxy's control, its links and the listeners of Kafka behind them."""
    names = [NETWORK, *(f"link {name}" for name in LINKS), *(f"way {service}" for service in CUT_OFF)]
    return dict(zip(names, free_ports(len(names)), strict=True))


def port_for(ports: Ports, part: str, service: str) -> int:
    """Return where a service reaches a part: the port of a link."""
    return ports[f"link {part}:{service}" if part == "kafka" else f"link {part}"]


def kafka_ways(ports: Ports) -> Mapping[int, int]:
    """Return the further ports that Kafka listens on, each with the link that leads to it."""
    if NETWORK not in ports:
        return {}
    return {ports[f"way {service}"]: ports[f"link kafka:{service}"] for service in CUT_OFF}


@dataclass(frozen=True, slots=True)
class Network:
    """The process of the proxies; its port takes orders."""

    place: Place
    ports: Ports
    name: str = NETWORK
    stop_signal: signal.Signals = signal.SIGTERM

    @property
    def port(self) -> int:
        """Where orders are taken."""
        return self.ports[NETWORK]

    def prepare(self) -> Command:
        """Say how to start it."""
        write_certificates(self.place.data(self.name))
        for service in CUT_OFF:
            clock_file(self.place, service).write_text("0", encoding="ascii")
        links = [f"{name}={self.ports[f'link {name}']}:{self._upstream(name)}" for name in LINKS]
        orders = ("--control", str(self.port), "--tls", f"openai={self.place.data(self.name)}")
        argv = (sys.executable, "-m", "resilience_chaos.proxy", *orders, *links)
        return Command(argv, cwd=self.place.root)

    def talk(self) -> None:
        """Read the orders."""
        answer = ask(self.port, "/links")
        if answer.status != HTTPStatus.OK:
            raise NotReadyError(f"/links answers {answer.status}")

    def _upstream(self, link: str) -> int:
        part, _, service = link.partition(":")
        return self.ports[f"way {service}"] if service else self.ports[part]


def clock_file(place: Place, service: str) -> Path:
    """Return the file that says by how many seconds the clock of a service is off."""
    return place.data(NETWORK) / f"{service}.clock"


def openai_env(place: Place, port: int) -> dict[str, str]:
    """Return what a client of OpenAI is told: its link speaks TLS, with a certificate of the stack's authority."""
    return {
        "OPENAI_BASE_URL": f"https://127.0.0.1:{port}/v1",
        "SSL_CERT_FILE": str(place.data(NETWORK) / AUTHORITY),
    }
