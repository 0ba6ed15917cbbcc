"""Wiring: settings and policy, adapters, application, HTTP, running tasks. The only file that knows everything."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from random import Random
from secrets import token_hex

import structlog

from inventory_api import metrics as rows
from inventory_api.adapters.applier import Applier, Source
from inventory_api.adapters.auditing import Auditing
from inventory_api.adapters.backlog import BacklogWatch
from inventory_api.adapters.breakers import BreakerReports, Identity, build_breakers
from inventory_api.adapters.feed import TOPICS, LevelFeed
from inventory_api.adapters.redo import Log, RedoRelay
from inventory_api.adapters.relay import Relay
from inventory_api.adapters.shared_quota import SharedQuota
from inventory_api.adapters.sql.schema import Schema
from inventory_api.adapters.sql.store import SqlStore
from inventory_api.adapters.sql.tidying import Tidying
from inventory_api.application.assistant import Assistant
from inventory_api.application.commands import Backlog, Commands
from inventory_api.application.images import Images
from inventory_api.application.stock_reader import Ages, StockReader
from inventory_api.application.switches import Switches
from inventory_api.domain.quota import Quota
from inventory_api.http.access import Door
from inventory_api.http.app import LONG_BODIES, build, open_live, open_office
from inventory_api.http.doors import guards, shown_to
from inventory_api.http.move_rendering import applied_answer
from inventory_api.http.overload import Entrance, Lanes
from inventory_api.http.services import Services
from inventory_api.live import build_live, kafka_sources
from inventory_api.office import build_office
from inventory_api.outside import Outside, build_outside, refused_by_content, watch_return
from inventory_api.readiness import Startup
from inventory_api.settings import Settings
from resilience_contracts import Encoded, Policy, PolicyError, Topic, View, default_policy, parse_policy
from resilience_delivery import serve_streams
from resilience_guards import CircuitBreaker
from resilience_runtime import (
    Backoff,
    Clock,
    DeadLetters,
    KafkaPublisher,
    KeyRing,
    PublishQueue,
    ReplicaReader,
    Snapshot,
    SystemClock,
    TraceSettings,
    Tracing,
    build_registry,
    configure_logging,
    finishing,
    load,
    prepare_routes,
    run,
    run_service,
    serve,
    serve_metrics,
    start_tracing,
)
from resilience_runtime.settings import load_file

log = structlog.get_logger(__name__)

SERVICE = "inventory-api"
QUOTA_WINDOW_S = 10
READ_DEADLINE_S = 0.28
"""A read that finds nothing is refused within 300 ms, whatever hangs."""


def start() -> None:
    """Run the service until it is told to stop; never returns."""
    settings = load(Settings)
    policy = _policy(settings.resilience_policy_file)
    configure_logging(settings.log_level, settings.log_format, SERVICE, settings.instance)
    tracing = start_tracing(load(TraceSettings), SERVICE, settings.instance)
    run_service(lambda: inventory(settings, policy, tracing))


async def inventory(settings: Settings, policy: Policy, tracing: Tracing) -> int:
    """Run every task of the service side by side; returns the exit code."""
    clock, rng = SystemClock(), Random()  # noqa: S311 - spreads waits, guards nothing
    breakers = build_breakers(policy, {"openai": refused_by_content}, rng)
    outside = build_outside(settings, policy, breakers)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(finishing(tracing))
        stack.push_async_callback(outside.close)
        publisher = await stack.enter_async_context(KafkaPublisher(settings.kafka, SERVICE))
        kafka = _kafka(settings, policy, outside, publisher, tracing)
        database_url = settings.database_url.get_secret_value()
        schema = Schema(database_url, clock, Backoff(rng, most_s=5.0))
        services = _services(settings, outside, breakers, kafka, publisher)
        applier = _applier(settings, services, kafka)
        relay = Relay(database_url, publisher, _source(settings), clock)
        redo = RedoRelay(database_url, Log(settings.kafka, settings.instance, _source(settings)), clock)
        auditing = Auditing(database_url, settings.audit_interval_s, clock)
        identity = Identity(settings.resilience_scope, settings.instance, token_hex(4), _source(settings))
        limit_s = settings.commands_age_limit_s
        reports = BreakerReports(
            breakers,
            policy,
            identity,
            clock,
            kafka.offer,
            half_well=lambda: (kafka.watch.age_s() or 0.0) > limit_s or outside.database.refuses_writes(),
        )
        startup = Startup(clock, settings.ready_after_s, lambda: schema.tried)
        startup.restored = kafka.feed.restored
        door, lanes = _door(settings, clock), Lanes()
        metrics = build_registry(rows.METRICS)
        rows.watch_door(metrics, door, lanes)
        rows.watch(
            metrics,
            services=services,
            applier=applier,
            backlog=kafka.watch,
            relay=relay,
            redo=redo,
            auditing=auditing,
            reports=reports,
            queue=kafka.queue,
            schema=schema,
        )
        origins, observe = settings.cors_origins, rows.observe_requests(metrics)
        layers = guards(door, origins, services.stock, lanes)
        app = build(services, startup.check, startup.check, observe, guards=layers)
        entrance = Entrance(lanes, services.switches.header, observe, shown_to(origins), rng)
        office = build_office(settings, services, outside.database, outside.images, outside.writer)
        open_office(app, office)
        refused = kafka.letters.for_stage("apply")
        sources = kafka_sources(settings, publisher, refused, clock, rng)
        live = build_live(settings, services.switches, sources, clock, rng)
        open_live(app, live.live)
        prepare_routes(app)
        rows.watch_live(metrics, live)
        serving = serve(tracing.served(app), settings.host, settings.port, entrance=entrance)
        return await run(
            serve_streams(live.streams, serving),
            serve_metrics(metrics, settings.host, settings.metrics_port),
            schema.prepare(),
            kafka.levels.run(),
            kafka.commands.run(),
            kafka.watch.run(),
            _note_caught_up(kafka.levels, startup),
            kafka.feed.keep(),
            kafka.queue.run(),
            reports.run(),
            applier.run(),
            relay.run(),
            redo.run(),
            auditing.run(),
            Tidying(outside.database, clock).run(),
            office.exports.run(),
            SharedQuota(door.quota, outside.redis, breakers["redis"], clock).run(),
            *(task.run() for task in watch_return(outside, breakers, clock)),
            *(task() for task in live.tasks),
        )


@dataclass(frozen=True, slots=True)
class Kafka:
    """What is read from Kafka and what is written there."""

    view: View
    feed: LevelFeed
    levels: ReplicaReader
    backlog: Backlog
    watch: BacklogWatch
    commands: ReplicaReader
    letters: DeadLetters
    queue: PublishQueue

    def offer(self, encoded: Encoded) -> None:
        """Send an event when there is time for it."""
        self.queue.offer(*encoded)


def _kafka(
    settings: Settings, policy: Policy, outside: Outside, publisher: KafkaPublisher, tracing: Tracing
) -> Kafka:
    access, name, clock = settings.kafka, settings.instance, SystemClock()
    letters, view, backlog = DeadLetters(publisher), View(policy), Backlog()
    feed = LevelFeed(view, Snapshot(settings.state_dir / f"{SERVICE}-view.json"))
    feed.restore()
    refused = letters.for_stage("apply")
    watch = BacklogWatch(backlog, SqlStore(outside.database), clock)
    return Kafka(
        view=view,
        feed=feed,
        levels=ReplicaReader(
            access,
            TOPICS,
            tracing.applied(feed.apply),
            feed.forget,
            on_bad=refused,
            client_id=name,
            names=settings.resilience_regions,
        ),
        backlog=backlog,
        watch=watch,
        commands=ReplicaReader(access, (Topic.COMMANDS,), watch.apply, watch.forget, client_id=name),
        letters=letters,
        queue=PublishQueue(publisher, settings.publish_capacity, clock),
    )


def _services(
    settings: Settings,
    outside: Outside,
    breakers: Mapping[str, CircuitBreaker],
    kafka: Kafka,
    publisher: KafkaPublisher,
) -> Services:
    clock, store = SystemClock(), SqlStore(outside.database)
    switches = Switches(kafka.view, settings.resilience_scope, clock, Random())  # noqa: S311 - spreads callers
    stock = StockReader(store, outside.shared, switches, clock, _ages(settings))
    return Services(
        store=store,
        stock=stock,
        commands=Commands(publisher, store, clock, _source(settings), kafka.backlog),
        images=Images(outside.images, switches),
        assistant=Assistant(outside.writer, stock, store, switches),
        switches=switches,
        breakers=breakers,
        feed_age_s=kafka.levels.last_record_age_s,
        clock=clock,
        waiting=kafka.watch.waiting,
        waiting_age_s=kafka.watch.age_s,
    )


def _applier(settings: Settings, services: Services, kafka: Kafka) -> Applier:
    source = Source(
        settings.kafka,
        settings.database_url.get_secret_value(),
        settings.instance,
        settings.commands_per_s,
    )
    return Applier(
        source,
        services.store,
        render=applied_answer,
        letters=kafka.letters,
        clock=services.clock,
        changed=services.stock.changed,
    )


def _door(settings: Settings, clock: Clock) -> Door:
    quota = Quota(max(1, round(settings.rate_limit_per_s * QUOTA_WINDOW_S)), QUOTA_WINDOW_S)
    anonymous = frozenset(scope.value for scope in settings.anonymous_scopes)
    if settings.api_keys_file is None and not anonymous:
        log.warning("nobody may call /v1: set API_KEYS_FILE, or ANONYMOUS_SCOPES on a private machine")
    keys, long_bodies = KeyRing.load(settings.api_keys_file), frozenset(LONG_BODIES)
    return Door(keys, anonymous, quota, clock, long_bodies)


def _source(settings: Settings) -> str:
    return f"/services/{SERVICE}/{settings.instance}"


async def _note_caught_up(levels: ReplicaReader, startup: Startup) -> None:
    await levels.wait_caught_up()
    startup.caught_up = True


def _ages(settings: Settings) -> Ages:
    return Ages(
        settings.stock_soft_age_s, settings.stock_hard_age_s, settings.stock_cached_skus, READ_DEADLINE_S
    )


def _policy(path: Path | None) -> Policy:
    return load_file("RESILIENCE_POLICY_FILE", path, parse_policy, PolicyError) if path else default_policy()
