"""The composition root: settings, policy, adapters, tasks."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import datetime
from random import Random

from resilience_contracts import HoldSet, Policy, PolicyError, Topic, default_policy, parse_policy
from resilience_runtime.clock import SystemClock
from resilience_runtime.http import Readiness, build_app
from resilience_runtime.kafka.dead_letters import DeadLetters
from resilience_runtime.kafka.publisher import KafkaPublisher
from resilience_runtime.kafka.replica import ReplicaReader
from resilience_runtime.lifecycle import run, run_service
from resilience_runtime.logging import configure_logging
from resilience_runtime.metrics import build_registry, serve_metrics
from resilience_runtime.serving import serve
from resilience_runtime.settings import TraceSettings, load, load_file
from resilience_runtime.tracing import Tracing, finishing, start_tracing

from . import metrics as rows
from .adapters.hold_book import HoldBook
from .adapters.steady_clock import SteadyClock
from .ownership import Ownership
from .roll_ups import RollUps
from .settings import SERVICE, Settings
from .stream import Stream

CHATTY = ("faust", "mode", "aiokafka")
"""Loggers that tell every step of every service at INFO."""


def main() -> None:
    """Run the service until it is told to stop."""
    settings = load(Settings)
    policy = load_policy(settings)
    configure_logging(settings.log_level, settings.log_format, SERVICE, settings.instance)
    for chatty in CHATTY:
        logging.getLogger(chatty).setLevel(logging.WARNING)
    tracing = start_tracing(load(TraceSettings), SERVICE, settings.instance)
    run_service(lambda: serve_engine(settings, policy, tracing))


def load_policy(settings: Settings) -> Policy:
    """Read the policy.

    Raises:
        SystemExit: status 2, after one line on stderr for each fault.
    """
    path = settings.resilience_policy_file
    return load_file("RESILIENCE_POLICY_FILE", path, parse_policy, PolicyError) if path else default_policy()


async def serve_engine(settings: Settings, policy: Policy, tracing: Tracing) -> int:
    """Wire the parts and run them; HTTP listens before Kafka is looked for."""
    clock, random = SteadyClock(SystemClock()), Random()  # noqa: S311 - spreads retries
    metrics = build_registry(rows.TABLE)
    kafka, client_id = settings.kafka, f"{SERVICE}-{settings.instance}"
    async with (
        finishing(tracing),
        KafkaPublisher(kafka, client_id, clock=clock, random=random) as publisher,
    ):
        book = HoldBook(policy)
        holds = ReplicaReader(
            kafka,
            [Topic.HOLDS],
            book.apply,
            book.forget,
            on_bad=DeadLetters(publisher, clock).for_stage("apply"),
            client_id=client_id,
            clock=clock,
            random=random,
            names=settings.resilience_regions,
        )

        def held(now: datetime) -> Mapping[str, HoldSet] | None:
            return book.on_levels(now) if holds.caught_up else None

        ownership = Ownership(
            policy,
            held,
            publisher,
            settings.source,
            clock=clock,
            random=random,
            metrics=metrics,
            tracing=tracing,
        )
        stream = Stream(kafka, settings.member_id, ownership, clock=clock, random=random, heard=clock.heard)
        roll_ups = RollUps(
            policy,
            held,
            ownership.owns,
            publisher,
            settings.source,
            clock=clock,
            metrics=metrics,
            regions=settings.resilience_regions,
        )
        levels = ReplicaReader(
            kafka, [Topic.LEVELS], roll_ups.apply, client_id=client_id, clock=clock, random=random
        )
        rolling = (levels.run(), roll_ups.run(levels)) if policy.roll_ups else ()
        metrics.watch(rows.LAG, lambda: float(stream.lag()))
        app = build_app(SERVICE, lambda: _ready(stream), liveness=lambda: _alive(stream))
        return await run(
            serve(tracing.served(app), settings.host, settings.port),
            serve_metrics(metrics, settings.host, settings.metrics_port),
            holds.run(),
            _stream_after(holds, stream),
            *rolling,
        )


async def _stream_after(holds: ReplicaReader, stream: Stream) -> None:
    """Take events only once the holds are known: an unknown hold would look like one that ended."""
    await holds.wait_caught_up()
    await stream.run()


def _ready(stream: Stream) -> Readiness:
    return Readiness(stream.ready, {"lag": stream.lag()})


def _alive(stream: Stream) -> Readiness:
    return Readiness(stream.alive)
