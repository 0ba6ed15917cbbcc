"""Dependencies are data: two more, known from a policy and two addresses alone, are watched and judged."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from resilience_cli.stack import free_ports
from resilience_cli.topics import apply_declared
from resilience_contracts import Because, DecidedBy, FeatureState, Health, Level, LevelState
from tests.e2e.quick import quick_policy_text
from tests.fixtures.services import S3Access, StandIn
from tests.integration.engine_process import FEED_TOPICS, Ear, EngineProcess, listening, new_scope
from tests.integration.test_monitor_service import running

WEIGHTS = {"openai": 42, "postgresql": 30, "redis": 12, "s3": 4, "payment": 8, "terminals": 4}
INTERVAL_S = 0.4
FEATURE = "checkout.payments"


def policy_text() -> str:
    """The default policy with a payment gateway (over HTTP), card terminals (over TCP), and what needs them."""
    policy: dict[str, Any] = yaml.safe_load(quick_policy_text())
    dependencies = policy["dependencies"]
    for name in ("payment", "terminals"):
        dependencies[name] = {**dependencies["redis"], "latency_objective_ms": 800, "deadline_s": 2}
    for name, weight in WEIGHTS.items():
        dependencies[name] |= {"weight": weight, "interval_s": INTERVAL_S}
    policy["levels"]["floors"].append({"down": ["payment"], "at_least": "LIMITED"})
    policy["features"][FEATURE] = {
        "levels": ["E", "E", "E", "F", "X"],
        "hard": ["payment"],
        "soft": ["terminals"],
        "unknown": "E",
        "fallback": "cards are typed in by hand",
    }
    return yaml.safe_dump(policy, sort_keys=False)


class Gateway(ThreadingHTTPServer):
    """A payment gateway: a real HTTP server whose health is up to the test."""

    status = 200

    @property
    def health_url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/health"


class _Health(BaseHTTPRequestHandler):
    server: Gateway

    def do_GET(self) -> None:
        self.send_response(self.server.status if self.path == "/health" else 404)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    with Gateway(("127.0.0.1", 0), _Health) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def terminals_port() -> int:
    return free_ports(1)[0]


@pytest.fixture
def servers(postgres_url: str, redis_url: str, s3: S3Access, openai_standin: StandIn) -> dict[str, str]:
    """Where the four that are known by name are."""
    return {
        "DATABASE_URL": postgres_url,
        "REDIS_URL": redis_url,
        "OPENAI_BASE_URL": openai_standin.base_url,
        "OPENAI_API_KEY": openai_standin.api_key,
        "S3_ENDPOINT_URL": s3.endpoint_url,
        "S3_BUCKET": s3.bucket,
        "AWS_REGION": s3.region,
        "AWS_ACCESS_KEY_ID": s3.access_key_id,
        "AWS_SECRET_ACCESS_KEY": s3.secret_access_key,
    }


@pytest.fixture
def env(
    servers: dict[str, str], gateway: Gateway, terminals_port: int, tmp_path: Path, kafka_bootstrap: str
) -> dict[str, str]:
    """Settings of both services; only the policy and `PROBES` say anything of the new dependencies."""
    apply_declared(kafka_bootstrap)
    policy = tmp_path / "policy.yaml"
    policy.write_text(policy_text(), encoding="utf-8")
    port, metrics_port = free_ports(2)
    return {
        **servers,
        "KAFKA_BOOTSTRAP_SERVERS": kafka_bootstrap,
        "RESILIENCE_POLICY_FILE": str(policy),
        "RESILIENCE_SCOPE": new_scope(),
        "STATE_DIR": str(tmp_path),
        "PORT": str(port),
        "METRICS_PORT": str(metrics_port),
        "DISABLED_PROBES": "",
        "PROBES": f"payment={gateway.health_url} terminals=tcp://127.0.0.1:{terminals_port}",
    }


@contextmanager
def engine_of(env: dict[str, str], tmp_path: Path) -> Iterator[EngineProcess]:
    engine = EngineProcess(
        env["KAFKA_BOOTSTRAP_SERVERS"], tmp_path, RESILIENCE_POLICY_FILE=env["RESILIENCE_POLICY_FILE"]
    ).start()
    try:
        yield engine
    finally:
        engine.stop()


@asynccontextmanager
async def terminals(port: int) -> AsyncIterator[None]:
    """A real TCP server that hangs up on everybody, which is all that a probe asks of it."""
    async with await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", port):
        yield


async def settled(ear: Ear, scope: str, level: Level, **healths: Health) -> LevelState:
    """Wait for a state with this level and these healths."""

    def reached() -> bool:
        states = ear.states(scope)
        seen = {name: seen.health for name, seen in states[-1].dependencies.items()} if states else {}
        return seen.items() >= healths.items() and states[-1].known_level is level

    await ear.until(reached)
    return ear.states(scope)[-1]


async def test_a_policy_and_two_addresses_are_all_that_two_more_dependencies_need(
    env: dict[str, str], gateway: Gateway, terminals_port: int, tmp_path: Path
) -> None:
    scope = env["RESILIENCE_SCOPE"]
    with engine_of(env, tmp_path) as engine:
        async with (
            listening(env["KAFKA_BOOTSTRAP_SERVERS"], *FEED_TOPICS) as ear,
            running(env, tmp_path) as monitor,
        ):
            async with terminals(terminals_port):
                await monitor.ready()
                await engine.wait_ready()
                well = await settled(ear, scope, Level.OPTIMAL, **dict.fromkeys(WEIGHTS, Health.UP))
                gateway.status = 503
                no_gateway = await settled(ear, scope, Level.LIMITED, payment=Health.DOWN)
                gateway.status = 200
                await settled(ear, scope, Level.OPTIMAL)
            no_terminals = await settled(ear, scope, Level.DEGRADED, terminals=Health.DOWN)

    assert well.features[FEATURE].state is FeatureState.ENABLED
    assert no_gateway.decided_by is DecidedBy.FLOOR
    assert "payment is DOWN" in no_gateway.cause
    assert no_gateway.score <= 100 - WEIGHTS["payment"]
    assert no_gateway.features[FEATURE].state is FeatureState.DISABLED
    assert no_gateway.features[FEATURE].because is Because.DEPENDENCY
    assert no_gateway.features["inventory.reservations"].state is FeatureState.ENABLED
    assert no_terminals.features[FEATURE].state is FeatureState.FALLBACK
