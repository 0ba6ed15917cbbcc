from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from random import Random

from structlog.testing import capture_logs

from health_monitor.attempt import Attempts, Limits
from health_monitor.domain import ProbeError, Window
from health_monitor.loop import Identity, Monitor, Target
from resilience_contracts import HealthObserved, Outcome
from resilience_runtime.clock import ManualClock

IDENTITY = Identity("eu-west", "monitor-1", "boot")


class Switch:
    """A probe that can be broken from outside."""

    def __init__(self) -> None:
        self.error: BaseException | None = None
        self.running = 0
        self.most = 0
        self.gate: asyncio.Event | None = None
        self.closed = False

    async def check(self) -> None:
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            if self.gate:
                await self.gate.wait()
            if self.error:
                raise self.error
        finally:
            self.running -= 1

    async def close(self) -> None:
        self.closed = True


class Broken:
    def observed(self, dependency: str, window: Window) -> None:
        raise RuntimeError(dependency, window)


class Rig:
    def __init__(
        self, *, slots: int = 4, deadline_s: float = 30, emit: Callable[[HealthObserved], None] | None = None
    ) -> None:
        self.clock = ManualClock()
        self.events: list[HealthObserved] = []
        self.probes = {name: Switch() for name in ("openai", "postgresql", "redis", "s3")}
        targets = [
            Target(name, Attempts(name, probe, Limits(60_000, deadline_s), lambda: 0.0), 5, deadline_s)
            for name, probe in self.probes.items()
        ]
        self.monitor = Monitor(
            identity=IDENTITY,
            targets=targets,
            clock=self.clock,
            random=Random(1),
            emit=emit or self.events.append,
            watchers=(Broken(),),
            slots=slots,
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.monitor.run())
        with capture_logs() as self.logs:
            yield
            task.cancel()
            await asyncio.wait({task})
        assert task.cancelled()

    def outcomes(self, dependency: str) -> list[Outcome]:
        return [event.probe.recent[-1].outcome for event in self.of(dependency) if event.probe]

    def of(self, dependency: str) -> list[HealthObserved]:
        return [event for event in self.events if event.dependency == dependency]


async def test_every_dependency_is_probed_at_once_after_the_start_and_then_each_interval() -> None:
    rig = Rig()

    async with rig.running():
        await rig.clock.advance(1)
        assert {event.dependency for event in rig.events} == set(rig.probes)
        assert len(rig.events) == 4
        await rig.clock.advance(50)

    assert all(10 <= len(rig.of(name)) <= 12 for name in rig.probes)


async def test_an_event_is_a_whole_snapshot_with_a_growing_sequence() -> None:
    rig = Rig()

    async with rig.running():
        await rig.clock.advance(100)

    assert [event.sequence for event in rig.events] == list(range(len(rig.events)))
    last = rig.of("redis")[-1]
    assert (last.scope, last.observer, last.boot) == ("eu-west", "monitor-1", "boot")
    assert last.probe is not None
    assert len(last.probe.recent) == 12
    assert last.probe.interval_s == 5
    assert last.observed_at == last.probe.recent[-1].at


async def test_an_outage_is_confirmed_by_three_misses_within_eight_seconds() -> None:
    rig = Rig()

    async with rig.running():
        await rig.clock.advance(1)
        rig.probes["postgresql"].error = ProbeError(Outcome.REFUSED, "ConnectionRefusedError")
        await rig.clock.advance(8)

    misses = [outcome for outcome in rig.outcomes("postgresql") if outcome is Outcome.REFUSED]
    assert len(misses) >= 3


async def test_a_hanging_probe_holds_up_no_other() -> None:
    rig = Rig()
    rig.probes["s3"].gate = asyncio.Event()

    async with rig.running():
        await rig.clock.advance(60)

    assert rig.outcomes("s3") == [Outcome.CANCELLED]
    assert len(rig.of("redis")) >= 11


async def test_a_bug_in_a_probe_or_a_watcher_stops_nothing() -> None:
    rig = Rig()
    rig.probes["redis"].error = SystemExit("a driver gone mad")

    async with rig.running():
        await rig.clock.advance(60)

    assert set(rig.outcomes("redis")) == {Outcome.PROTOCOL}
    assert len(rig.of("redis")) >= 11
    assert "a watcher has a bug" in {line["event"] for line in rig.logs}


async def test_a_bug_in_the_loop_itself_is_logged_and_the_loop_goes_on() -> None:
    seen: list[HealthObserved] = []

    def emit(event: HealthObserved) -> None:
        seen.append(event)
        if len(seen) == 1:
            raise RuntimeError("once")

    rig = Rig(emit=emit)

    async with rig.running():
        await rig.clock.advance(10)

    assert "the loop has a bug" in {line["event"] for line in rig.logs}
    assert len([event for event in seen if event.dependency == "openai"]) >= 3


async def test_no_more_probes_at_once_than_slots() -> None:
    rig, gate = Rig(slots=1), asyncio.Event()
    for probe in rig.probes.values():
        probe.gate = gate

    async with rig.running():
        await rig.clock.advance(5)
        assert sum(probe.running for probe in rig.probes.values()) == 1
        gate.set()
        await rig.clock.advance(1)

    assert {event.dependency for event in rig.events} == set(rig.probes)


async def test_a_probe_without_a_slot_in_time_is_not_run() -> None:
    rig = Rig(slots=1, deadline_s=0.05)
    stuck = asyncio.Event()

    async def check() -> None:
        while not stuck.is_set():
            try:
                await stuck.wait()
            except asyncio.CancelledError:
                continue

    rig.probes["openai"].check = check  # type: ignore[method-assign]

    async with rig.running():
        await rig.clock.advance(1)
        others = ("postgresql", "redis", "s3")
        while not any(Outcome.NOT_RUN in rig.outcomes(name) for name in others):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        stuck.set()


async def test_stopping_reports_a_running_probe_as_cancelled_and_closes_all() -> None:
    rig = Rig()
    rig.probes["redis"].gate = asyncio.Event()

    async with rig.running():
        await rig.clock.advance(1)

    assert rig.outcomes("redis") == [Outcome.CANCELLED]
    assert all(probe.closed for probe in rig.probes.values())
