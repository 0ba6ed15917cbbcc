"""Wiring: settings, adapters, domain, running tasks. The only file that knows everything."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from fastapi import FastAPI

from flag_service.adapters.feed import STATE_TOPICS, Feed
from flag_service.adapters.inventory import InventoryReader
from flag_service.adapters.keeper import Keeper
from flag_service.adapters.letters import Letters
from flag_service.adapters.vitals_feed import vitals_from
from flag_service.adapters.webhook_traces import TracedDeliveries
from flag_service.application.desk import HoldDesk
from flag_service.application.reading import Reading, readiness
from flag_service.application.registrar import Registrar
from flag_service.application.timekeeper import Timekeeper
from flag_service.application.trail import AuditTrail
from flag_service.domain.audit import AuditChain
from flag_service.domain.flags import FlagCatalogue
from flag_service.domain.history import History
from flag_service.domain.notices import Bulletin, Endings, remains
from flag_service.domain.own_features import keeps
from flag_service.domain.rate import RateLimit
from flag_service.domain.stream_tokens import StreamTokens
from flag_service.domain.subscription import Subscription
from flag_service.domain.switchboard import Switchboard
from flag_service.domain.vitals import Vitals
from flag_service.http.access import OPEN, Access, Closed
from flag_service.http.changes import Changes
from flag_service.http.console import Console
from flag_service.http.documents import Documents
from flag_service.http.hub import Hub
from flag_service.http.limits import Gate, RateLimited
from flag_service.http.ofrep import Ofrep, ofrep_shape
from flag_service.http.rest import Reads
from flag_service.http.teller import Teller
from flag_service.http.webhooks import Webhooks
from flag_service.metrics import METRICS, watch
from flag_service.outside import Outside, build_outside, reading
from flag_service.settings import Settings
from resilience_contracts import (
    FeatureView,
    HoldSet,
    LevelChanged,
    Policy,
    PolicyError,
    Topic,
    default_policy,
    parse_policy,
)
from resilience_delivery import (
    AddressGuard,
    Courier,
    Message,
    News,
    Progress,
    SigningKey,
    Subscriptions,
    WebhookSender,
    serve_streams,
)
from resilience_runtime.clock import Clock
from resilience_runtime.http import build_app
from resilience_runtime.kafka import KafkaPublisher
from resilience_runtime.lifecycle import run
from resilience_runtime.logging import configure_logging
from resilience_runtime.metrics import Metrics, build_registry, serve_metrics
from resilience_runtime.problem import problem_response
from resilience_runtime.pulse import Pulse
from resilience_runtime.serving import serve
from resilience_runtime.settings import TraceSettings, load, load_file
from resilience_runtime.tracing import finishing, start_tracing

SERVICE = "flag-service"


@dataclass(frozen=True, slots=True)
class Service:
    """A service ready to run: its application, and the tasks beside it."""

    app: FastAPI
    hub: Hub
    tasks: tuple[Callable[[], Coroutine[Any, Any, None]], ...]
    metrics: Metrics


def assemble(settings: Settings, policy: Policy, outside: Outside) -> Service:
    """Put the service together; nothing runs and nothing is connected yet."""
    clock, source = outside.clock, f"/services/{SERVICE}/{settings.instance}"
    pulse, history, endings = Pulse(), History(), Endings()
    hub = Hub(outside.boot, settings.stream_clients, outside.rng)
    teller = Teller(hub, clock)
    board = Switchboard(policy, settings.resilience_scope, teller.effect, teller.heartbeat)
    hub.told_as = board.told_as
    trail = AuditTrail(AuditChain(f"{SERVICE}/{settings.instance}"), outside.publisher, clock, source)
    feed = Feed(
        switchboard=board,
        history=history,
        endings=endings,
        trail=trail,
        on_change=teller.changed,
        pulse=pulse,
        clock=clock,
    )
    letters = Letters(outside.send_letter, pulse.beat)
    open_reader = partial(reading, outside, letters)
    guard = AddressGuard(settings.webhook_allowed_networks)
    sender = TracedDeliveries(WebhookSender(guard, ssl.create_default_context(), clock), outside.tracing)
    state_reader = open_reader(STATE_TOPICS, sender.noting(feed.apply), feed.begin)
    audit_reader = open_reader((Topic.AUDIT,), feed.apply, lambda: None)
    desk = HoldDesk(
        switchboard=board,
        publisher=outside.publisher,
        trail=trail,
        clock=clock,
        pulse=pulse,
        source=source,
        leads=lambda: outside.lease.held,
    )
    keeper = Keeper(
        settings.state_dir, switchboard=board, history=history, letters=letters, pulse=pulse, clock=clock
    )
    keeper.restore()
    timekeeper = Timekeeper(board, desk, pulse, clock, outside.rng)
    changes = Changes(board, desk, trail, outside.keys, clock, hub)
    key = SigningKey.load(settings.signing_key_file, settings.state_dir)
    subscriptions = Subscriptions(
        Topic.WEBHOOKS, Subscription, publisher=outside.publisher, clock=clock, pulse=pulse, key_id=key.id
    )
    webhook_reader = open_reader((Topic.WEBHOOKS,), subscriptions.apply, subscriptions.begin)

    def kept(message: Message) -> FeatureView | None:
        return keeps(board.picture(message.scope, clock.now()), message)

    bulletin = Bulletin(
        lambda: (board.revision, history.revision),
        lambda: _state(board, history, clock),
        endings,
        board.told_as,
    )

    async def news(subscription: Subscription, progress: Progress) -> News:
        return News(bulletin.news(subscription, progress))

    courier = Courier(
        subscriptions=subscriptions,
        news=news,
        remains=remains,
        ready=lambda: outside.lease.held and board.caught_up and webhook_reader.caught_up,
        kept=kept,
        secrets=key.webhook_secrets,
        key_id=key.id,
        sender=sender,
        clock=clock,
        pulse=pulse,
        rng=outside.rng,
    )
    gate = Gate(RateLimit(settings.rate_limit_per_s), outside.keys, clock)
    documents = Documents(lambda: (board.revision, history.revision))
    app = build_app(
        "Flag service",
        lambda: readiness(board, state_reader),
        error_shapes={"/ofrep/": ofrep_shape},
        description="Is this feature on, and why.",
        docs_url=None,  # its page would come from a CDN; the document is at /openapi.json
        redoc_url=None,
    )
    access = Access(outside.keys, StreamTokens(key.derive("stream tokens")), clock)
    if settings.closed_reads:
        app.add_middleware(Closed, access=access, respond=problem_response, skip=OPEN)
    app.add_middleware(RateLimited, gate=gate, respond=problem_response, prefix="/v1/")
    app.mount(
        "/ofrep",
        Ofrep(
            board, FlagCatalogue(policy), hub, clock, gate, access if settings.closed_reads else None
        ).app(),
    )
    app.include_router(Reads(board, history, documents, hub, clock).router())
    app.include_router(access.router())
    app.include_router(changes.router())
    registrar = Registrar(subscriptions, trail, settings.resilience_scope, clock)
    app.include_router(Webhooks(subscriptions, registrar, changes, key.webhook_secret, key.id, kept).router())
    vitals, inventory = Vitals(), InventoryReader.of(settings, clock)
    Console(history, changes, vitals, inventory.last, clock).open(app)
    metrics = build_registry(METRICS)
    watch(
        metrics,
        switchboard=board,
        reader=state_reader,
        hub=hub,
        desk=desk,
        gate=gate,
        courier=courier,
        subscriptions=subscriptions,
        lease=outside.lease,
        clock=clock,
    )
    return Service(
        app=app,
        hub=hub,
        tasks=(
            state_reader.run,
            audit_reader.run,
            webhook_reader.run,
            outside.lease.run,
            courier.run,
            Reading(board, state_reader, pulse, clock).run,
            partial(trail.begin_after, audit_reader),
            timekeeper.keep_time,
            timekeeper.write_ends,
            keeper.run,
            hub.keep_alive,
            teller.run,
            outside.open_recent((Topic.HEALTH,), vitals_from(vitals)).run,
            inventory.run,
        ),
        metrics=metrics,
    )


def _state(board: Switchboard, history: History, clock: Clock) -> tuple[list[LevelChanged], list[HoldSet]]:
    pictures = board.pictures(clock.now())
    changes = [change for picture in pictures for change in history.newest(picture.scope, 1)]
    return changes, [hold for picture in pictures for hold in picture.own_holds]


async def main() -> int:
    """Run the service until it is told to stop; returns the exit code."""
    settings = load(Settings)
    configure_logging(settings.log_level, settings.log_format, SERVICE, settings.instance)
    policy = _policy(settings.resilience_policy_file)
    tracing = start_tracing(load(TraceSettings), SERVICE, settings.instance)
    async with (
        finishing(tracing),
        KafkaPublisher(settings.kafka, settings.instance) as publisher,
    ):
        service = assemble(settings, policy, build_outside(settings, publisher, tracing))
        return await run(
            serve_streams(service.hub, serve(tracing.served(service.app), settings.host, settings.port)),
            serve_metrics(service.metrics, settings.host, settings.metrics_port),
            *(task() for task in service.tasks),
        )


def _policy(path: Path | None) -> Policy:
    return load_file("RESILIENCE_POLICY_FILE", path, parse_policy, PolicyError) if path else default_policy()
