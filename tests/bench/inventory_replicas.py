"""Several processes of the inventory API over one PostgreSQL and one Kafka, with faults in all of them."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx

from resilience_cli.stack import free_ports
from resilience_contracts import default_policy_text
from tests.fixtures.stack import RunningStack, running_stack

PARTS = ("kafka", "postgresql", "redis", "inventory-api")
READY_S = 180
STOP_S = 30


class Replica:
    """One more process of the API beside the stack's own."""

    def __init__(self, stack: RunningStack, number: int, env: dict[str, str]) -> None:
        self._port, metrics_port = free_ports(2)
        self.url, self.metrics_url = (
            f"http://127.0.0.1:{self._port}",
            f"http://127.0.0.1:{metrics_port}/metrics/",
        )
        self._log = stack.root / "logs" / f"replica-{number}.log"
        state = stack.root / "state" / f"replica-{number}"
        state.mkdir(parents=True, exist_ok=True)
        own = {
            "PORT": str(self._port),
            "METRICS_PORT": str(metrics_port),
            "INSTANCE": f"inventory-api-{number}",
            "STATE_DIR": str(state),
        }
        self._env = {**os.environ, **stack.env, **own, **env}
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, or start it again; return when it is ready."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "inventory_api"],
                cwd=self._log.parent,
                env=self._env,
                stdout=log,
                stderr=log,
            )
        end_s = time.monotonic() + READY_S
        while not self._ready():
            if self._process.poll() is not None or time.monotonic() > end_s:
                raise RuntimeError(self._log.read_text()[-2000:])
            time.sleep(0.1)

    @property
    def pid(self) -> int:
        """Its process, once started."""
        assert self._process
        return self._process.pid

    def kill(self) -> None:
        """Kill it."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def stop(self) -> int:
        """End it in order; return its exit code."""
        assert self._process
        self._process.terminate()
        return self._process.wait(STOP_S)

    def _ready(self) -> bool:
        try:
            return (
                httpx.get(f"{self.url}/health/ready", timeout=5, trust_env=False).status_code
                == httpx.codes.OK
            )
        except httpx.HTTPError:
            return False


class Shop:
    """A stack and its replicas, the stack's own first."""

    def __init__(self, stack: RunningStack, replicas: Sequence[Replica]) -> None:
        self.stack = stack
        self.replicas = tuple(replicas)
        self.urls = (stack.url("inventory-api"), *(replica.url for replica in replicas))

    @property
    def database_url(self) -> str:
        """The database under all of them."""
        return self.stack.env["DATABASE_URL"]

    def kill(self, target: str) -> None:
        """Kill a part of the stack, or a replica as `replica-2`, without warning."""
        if target.startswith("replica-"):
            self.replicas[int(target.removeprefix("replica-")) - 2].kill()
        else:
            self.stack.stop(target)

    def restore(self, target: str) -> None:
        """Bring back what was killed; return when it answers."""
        if target.startswith("replica-"):
            self.replicas[int(target.removeprefix("replica-")) - 2].start()
        else:
            self.stack.restore(target)


def patient_policy() -> str:
    """Give PostgreSQL twenty times the time: clients, processes, Kafka and it share two cores here with others."""
    text = default_policy_text()
    for ours, here in (
        ("call_deadline_ms: 250", "call_deadline_ms: 5000"),
        ("slow_call_ms: 200", "slow_call_ms: 4000"),
    ):
        assert ours in text, ours
        text = text.replace(ours, here)
    return text


@contextmanager
def running_shop(logs_to: Path, replicas: int, **env: str) -> Iterator[Shop]:
    """Start a shop with so many processes of the API in all, and stop it."""
    with running_stack(logs_to, parts=PARTS, policy_text=patient_policy()) as stack:
        if env:
            stack.restart("inventory-api", **env)
        shop = Shop(stack, [Replica(stack, number, env) for number in range(2, replicas + 1)])
        try:
            for replica in shop.replicas:
                replica.start()
            yield shop
        finally:
            for replica in shop.replicas:
                replica.kill()


class Api:
    """Calls a shop's processes in turn and says what each answered."""

    def __init__(self, urls: Sequence[str], timeout_s: float = 10, connections: int = 100) -> None:
        limits = httpx.Limits(max_connections=connections, max_keepalive_connections=connections)
        self._clients = [
            httpx.AsyncClient(base_url=url, timeout=timeout_s, limits=limits, trust_env=False) for url in urls
        ]
        self._turn = 0

    async def post(self, path: str, body: object, key: str | None = None) -> httpx.Response | None:
        """Return the answer, or None when there was none."""
        headers = {"Idempotency-Key": key} if key else {}
        try:
            return await self._next().post(f"/v1{path}", json=body, headers=headers)
        except httpx.HTTPError:
            return None

    async def get(self, path: str) -> httpx.Response | None:
        """Return the answer, or None when there was none."""
        try:
            return await self._next().get(f"/v1{path}")
        except httpx.HTTPError:
            return None

    async def close(self) -> None:
        """Disconnect."""
        for client in self._clients:
            await client.aclose()

    def _next(self) -> httpx.AsyncClient:
        self._turn += 1
        return self._clients[self._turn % len(self._clients)]
