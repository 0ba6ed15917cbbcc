"""Puts the service together: settings and policy, probes, loop, publishing, HTTP, metrics."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from random import SystemRandom
from secrets import token_hex

import structlog

from resilience_contracts import (
    DependencyPolicy,
    HealthObserved,
    Policy,
    PolicyError,
    default_policy,
    encode,
    parse_policy,
)
from resilience_runtime import (
    KafkaPublisher,
    PublishQueue,
    StartupError,
    SystemClock,
    TraceSettings,
    Tracing,
    build_app,
    build_registry,
    configure_logging,
    current_traceparent,
    finishing,
    load,
    run,
    run_service,
    serve,
    serve_metrics,
    start_tracing,
)
from resilience_runtime.settings import load_file, refuse

from .attempt import Attempts, Limits
from .board import Board, BoardView, ProbeView, Probing
from .catalogue import entry_of
from .loop import Identity, Monitor, Target
from .meters import LOST, METRICS, STALLED, SUSPECT, WAITING, Meters
from .self_check import SelfCheck
from .settings import Settings
from .stall import StallMeter

SERVICE = "health-monitor"
CHATTY = ("httpx", "httpx2", "openai", "botocore", "boto3", "urllib3", "asyncio")

log = structlog.get_logger(__name__)


def start() -> None:
    """Run the service until it is told to stop; never returns."""
    settings = load(Settings)
    policy = load_policy(settings)
    configure_logging(settings.log_level, settings.log_format, SERVICE, settings.instance)
    quiet = max(logging.WARNING, logging.getLogger().level)
    for name in CHATTY:
        logging.getLogger(name).setLevel(quiet)
    tracing = start_tracing(load(TraceSettings), SERVICE, settings.instance)
    run_service(lambda: monitor(settings, policy, tracing))


def load_policy(settings: Settings) -> Policy:
    """Read the policy and check that the settings fit it; exit with status 2, one line a fault, if not."""
    path = settings.resilience_policy_file
    policy = (
        load_file("RESILIENCE_POLICY_FILE", path, parse_policy, PolicyError) if path else default_policy()
    )
    for variable, names in (("DISABLED_PROBES", settings.disabled_probes), ("PROBES", settings.probes)):
        unknown = sorted(set(names) - set(policy.dependencies))
        if unknown:
            refuse(f"{variable}: {', '.join(unknown)} not among {', '.join(policy.dependencies)}")
    return policy


async def monitor(settings: Settings, policy: Policy, tracing: Tracing) -> int:
    """Run every task of the service side by side; returns the exit code."""
    clock, metrics = SystemClock(), build_registry(METRICS)
    identity = Identity(settings.resilience_scope, settings.instance, token_hex(4))
    stall = StallMeter(clock)
    targets = _targets(settings, policy, identity, stall)
    publisher = KafkaPublisher(settings.kafka, SERVICE)
    queue = PublishQueue(publisher, settings.publish_capacity, clock)
    board = Board(_empty_board(settings, policy, identity, targets))
    self_check = SelfCheck(frozenset(targets), settings.host, settings.port, metrics.gauge(SUSPECT).set)
    metrics.watch(STALLED, stall.stalled_s)
    metrics.watch(WAITING, lambda: len(queue))
    metrics.watch(LOST, lambda: queue.dropped + queue.rejected)
    source = f"/services/{SERVICE}/{settings.instance}"

    def emit(event: HealthObserved) -> None:
        queue.offer(*encode(event, source, current_traceparent()))

    app = build_app("Health monitor", board.readiness)
    app.include_router(board.routes())
    loop = Monitor(
        identity=identity,
        targets=tuple(targets.values()),
        clock=clock,
        random=SystemRandom(),
        emit=emit,
        watchers=(Meters(metrics), board, self_check),
        slots=settings.probe_slots,
        tracing=tracing,
    )
    async with finishing(tracing), publisher:
        return await run(
            serve(tracing.served(app), settings.host, settings.port),
            serve_metrics(metrics, settings.host, settings.metrics_port),
            stall.run(),
            self_check.run(),
            queue.run(),
            loop.run(),
        )


def _targets(settings: Settings, policy: Policy, identity: Identity, stall: StallMeter) -> dict[str, Target]:
    return {
        target.dependency: target
        for name, dependency in policy.dependencies.items()
        for target in _target(settings, name, dependency, identity, stall)
    }


def _target(
    settings: Settings, name: str, dependency: DependencyPolicy, identity: Identity, stall: StallMeter
) -> Iterator[Target]:
    if name in settings.disabled_probes:
        log.warning("probe disabled", dependency=name)
        return
    entry = entry_of(settings, name)
    mark = f"{SERVICE}/{identity.observer}/{identity.boot}"
    try:
        probe = entry.build(settings, mark, dependency.deadline_s)
    except Exception as error:  # noqa: BLE001 - each driver refuses a malformed address in its own words
        raise StartupError(f"{entry.variables}: malformed ({type(error).__name__})") from None
    if probe is None:
        log.warning("dependency not probed: not configured", dependency=name, variables=entry.variables)
        return
    limits = Limits(dependency.latency_objective_ms, dependency.deadline_s)
    attempts = Attempts(name, probe, limits, stall.stalled_s)
    yield Target(name, attempts, dependency.interval_s, dependency.deadline_s)


def _empty_board(
    settings: Settings, policy: Policy, identity: Identity, targets: dict[str, Target]
) -> BoardView:
    def probing(name: str) -> Probing:
        if name in targets:
            return Probing.PROBED
        return Probing.DISABLED if name in settings.disabled_probes else Probing.NOT_CONFIGURED

    probes = [
        ProbeView(
            dependency=name, probing=probing(name), interval_s=given.interval_s, deadline_s=given.deadline_s
        )
        for name, given in policy.dependencies.items()
    ]
    return BoardView(scope=identity.scope, observer=identity.observer, boot=identity.boot, probes=probes)
