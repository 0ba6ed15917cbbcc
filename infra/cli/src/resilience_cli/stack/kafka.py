"""Apache Kafka: broker and controller in one process, KRaft; one of them, or three that keep copies."""

from __future__ import annotations

import asyncio
import signal
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError

from resilience_cli.apart import run_apart
from resilience_cli.errors import StackError
from resilience_runtime.kafka.access import KafkaAccess, SecurityProtocol

from .jars import class_path
from .java import find_java
from .part import NotReadyError, Place
from .process import Command
from .security import ADMIN, LISTENER, Security, environment_of
from .sockets import answers

# A small heap and a quick start matter more than peak throughput on a developer's machine.
JVM = ("-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
LOG = (
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd'T'HH:mm:ss.SSS",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    "-Dorg.slf4j.simpleLogger.log.kafka.server=info",
)
CLUSTER_ID = "5L6g3nShT-eMCtK--X86sw"


@dataclass(frozen=True, slots=True)
class Kafka:
    """The broker. `controller_port` is for itself alone.

    `ways` are further ports that it listens on, each with the port that clients of it are told to use: a broker
    tells its clients where it is, so whoever comes through a proxy must be told the proxy's port.
    With `security` it asks who comes. `others` are the further members of its cluster by node, each with its port
    and the one of its controller; there every record is stored twice before it counts. Its data is another with
    either than without.
    """

    place: Place
    port: int
    controller_port: int
    ways: Mapping[int, int] = field(default_factory=dict)
    security: Security | None = None
    name: str = "kafka"
    node: int = 1
    others: Mapping[int, tuple[int, int]] = field(default_factory=dict)
    stop_signal: signal.Signals = signal.SIGTERM

    @property
    def bootstrap(self) -> str:
        """Where clients start: at any broker."""
        return ",".join([self._own, *(f"127.0.0.1:{port}" for port, _ in self.others.values())])

    @property
    def _own(self) -> str:
        return f"127.0.0.1:{self.port}"

    def access(self, principal: str = ADMIN) -> KafkaAccess:
        """Return how a principal gets in."""
        return (
            self.security.access(self.bootstrap, principal) if self.security else KafkaAccess(self.bootstrap)
        )

    def env(self, principal: str = ADMIN) -> dict[str, str]:
        """Return what a process of a principal is told."""
        return environment_of(self.access(principal))

    @property
    def _data(self) -> Path:
        kind = "secured-data" if self.security else "replicated-data" if self.others else "data"
        return self.place.data(self.name) / kind

    def prepare(self) -> Command:
        """Format the log directory once and write the server's properties."""
        java, jars = str(find_java()), class_path()
        self._data.parent.mkdir(parents=True, exist_ok=True)
        if self.security:
            self.security.prepare()
        properties = self.place.data(self.name) / "server.properties"
        properties.touch(mode=0o600)
        properties.write_text(self._properties(), encoding="utf-8")
        start = (java, *JVM, *LOG, "-cp", jars)
        if not (self._data / "meta.properties").exists():
            self._format(start, properties)
        return Command(argv=(*start, "kafka.Kafka", str(properties)), cwd=self.place.data(self.name))

    def talk(self) -> None:
        """Ask for the cluster's metadata; a broker appears there once it serves."""
        if not answers(self.port):
            raise NotReadyError("nothing listens yet")
        try:
            run_apart(self._metadata())
        except (KafkaError, OSError, TimeoutError) as error:
            raise NotReadyError(str(error) or type(error).__name__) from error

    async def _metadata(self) -> None:
        options = {**self.access().options(), "bootstrap_servers": self._own}
        client = AIOKafkaClient(**options, request_timeout_ms=2000)
        try:
            async with asyncio.timeout(2):
                await client.bootstrap()
            if not any(broker.nodeId == self.node for broker in client.cluster.brokers()):
                raise NotReadyError("it is not registered yet")
        finally:
            await client.close()

    def _format(self, start: tuple[str, ...], properties: Path) -> None:
        argv = (*start, "kafka.tools.StorageTool", "format", "-t", CLUSTER_ID, "-c", str(properties))
        argv += self.security.users() if self.security else ()
        run = subprocess.run(argv, capture_output=True, text=True, check=False)
        if run.returncode:
            last = (run.stderr or run.stdout).strip().splitlines()[-1:]
            raise StackError(
                f"Kafka's data in {self._data} cannot be created ({' '.join(last)})",
                f"remove {self._data.parent} and try again",
            )

    def _properties(self) -> str:
        listener, controller = (
            (LISTENER, "SSL") if self.security else (SecurityProtocol.PLAINTEXT, "PLAINTEXT")
        )
        own = f"{listener}://{self._own}"
        members = {self.node: (self.port, self.controller_port), **self.others}
        voters = ",".join(f"{node}@127.0.0.1:{port}" for node, (_, port) in sorted(members.items()))
        copies = str(len(members))
        listened = [f",WAY_{port}://127.0.0.1:{port}" for port in self.ways]
        told = [f",WAY_{port}://127.0.0.1:{proxy}" for port, proxy in self.ways.items()]
        plain = [f",WAY_{port}:PLAINTEXT" for port in self.ways]
        lines = {
            "process.roles": "broker,controller",
            "node.id": str(self.node),
            "controller.quorum.voters": voters,
            "listeners": f"{own},CONTROLLER://127.0.0.1:{self.controller_port}" + "".join(listened),
            "advertised.listeners": own + "".join(told),
            "controller.listener.names": "CONTROLLER",
            "listener.security.protocol.map": f"{listener}:{listener},CONTROLLER:{controller}"
            + "".join(plain),
            "log.dirs": str(self._data),
            "auto.create.topics.enable": "false",
            "min.insync.replicas": str(len(members) // 2 + 1),
            "offsets.topic.replication.factor": copies,
            "offsets.topic.num.partitions": "4",
            "transaction.state.log.replication.factor": copies,
            "transaction.state.log.min.isr": "1",
            "transaction.state.log.num.partitions": "1",
            "group.initial.rebalance.delay.ms": "0",
            # A killed broker is let in again only when its old session is over; 9 s are the default.
            "broker.session.timeout.ms": "3000",
            "broker.heartbeat.interval.ms": "500",
            # The default of 128 MB is half of this heap.
            "log.cleaner.dedupe.buffer.size": str(16 * 1024 * 1024),
            "num.network.threads": "2",
            "num.io.threads": "4",
        }
        lines |= self.security.properties() if self.security else {}
        return "".join(f"{name}={value}\n" for name, value in lines.items())
