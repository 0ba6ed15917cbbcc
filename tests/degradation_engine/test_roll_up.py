"""A region's state out of its children's, and who publishes it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from degradation_engine import metrics as rows
from degradation_engine.adapters.shelf import Shelf
from degradation_engine.domain import Engine, RefusalReason, Refused
from degradation_engine.domain.roll_up import Region, parent_of
from degradation_engine.ownership import Ownership
from degradation_engine.partition import Partition
from degradation_engine.roll_ups import LOOK_S, RollUps
from resilience_contracts import (
    Because,
    DecidedBy,
    DependencyState,
    FeatureState,
    Health,
    HoldSet,
    Level,
    LevelChanged,
    LevelState,
    Outcome,
    Regions,
    Topic,
    Version,
    View,
    decode,
    default_policy_text,
    encode,
    parse_policy,
)
from resilience_runtime.bus import BadMessage, Message
from resilience_runtime.clock import ManualClock
from resilience_runtime.memory import MemoryBus
from resilience_runtime.metrics import build_registry
from tests.contracts.states import hold_set, level_state
from tests.degradation_engine.shop import START, at, report

SOURCE = "/services/degradation-engine/e1"
RESERVATIONS = "inventory.reservations"
POLICY = parse_policy(
    f"{default_policy_text()}\nroll_ups:\n"
    "  eu: {rule: worst}\n"
    "  eu.west: {rule: weighted_share, share_percent: 50, weights: {eu.west.flagship: 3}}\n"
)
WEST = Region("eu.west", POLICY)


def child(
    scope: str, level: Level, counter: int = 1, seconds: float = 0, down: tuple[str, ...] = ()
) -> LevelState:
    health = {name: Health.DOWN if name in down else Health.UP for name in POLICY.dependencies}
    seen = {name: DependencyState(health=one, score=50, since=at(0)) for name, one in health.items()}
    state = level_state(level, (1, counter), at(seconds), scope=scope)
    return state.model_copy(update={"dependencies": seen})


def west(*levels: Level, **more: Level) -> list[LevelState]:
    named = {f"s{index}": level for index, level in enumerate(levels)} | more
    return [child(f"eu.west.{name}", level) for name, level in named.items()]


def made(state: LevelState | None) -> LevelState:
    assert state is not None
    return state


def on_level(scope: str, level: Level, *, allow_better: bool = False) -> HoldSet:
    changed = {"scope": scope, "target": "level", "state": None, "level": level.name}
    return hold_set(set_at=at(0), allow_better=allow_better).model_copy(update=changed)


def test_a_parent_is_the_nearest_scope_above_that_is_rolled_up() -> None:
    assert parent_of("eu.west.city.s1", POLICY.roll_ups) == "eu.west"
    assert parent_of("eu.west", POLICY.roll_ups) == "eu"
    assert parent_of("eu", POLICY.roll_ups) is None
    assert parent_of("us.s1", POLICY.roll_ups) is None


def test_a_region_says_what_counts_and_who_is_worst() -> None:
    children = west(Level.MINIMAL, Level.OPTIMAL, Level.OPTIMAL, flagship=Level.LIMITED)

    state = made(WEST.state(children, None, None, START))

    assert (state.level, state.decided_by) == ("LIMITED", DecidedBy.SCORE)
    assert state.cause == (
        "2 of 4 beneath at LIMITED or worse: eu.west.flagship, eu.west.s0; 50% of the weight count"
    )
    assert state.roll_up is not None
    assert state.roll_up.model_dump() == {
        "rule": "weighted_share",
        "share_percent": 50.0,
        "children": {"OPTIMAL": 2, "LIMITED": 1, "MINIMAL": 1},
    }
    assert state.version.ordered() == Version(int(START.timestamp()), 1)


def test_a_closed_store_is_left_out_of_the_worst() -> None:
    policy = parse_policy(
        f"{default_policy_text()}\nroll_ups:\n  eu.west: {{rule: worst, weights: {{eu.west.closed: 0}}}}\n"
    )
    children = west(Level.DEGRADED, closed=Level.EMERGENCY)

    state = made(Region("eu.west", policy).state(children, None, None, START))

    assert (state.level, state.cause) == (
        "DEGRADED",
        "1 of 1 beneath at DEGRADED or worse: eu.west.s0; the worst counts",
    )


def test_dependencies_are_rolled_up_by_the_same_rule_and_decide_features() -> None:
    one = child("eu.west.s0", Level.OPTIMAL, down=("postgresql",))
    few = made(WEST.state([one, *west(flagship=Level.OPTIMAL)], None, None, START))
    many = child("eu.west.flagship", Level.OPTIMAL, down=("postgresql",))
    most = made(WEST.state([one, many], None, None, START))

    assert few.dependencies["postgresql"].health is Health.UP
    assert few.features[RESERVATIONS].state is FeatureState.ENABLED
    assert most.dependencies["postgresql"].health is Health.DOWN
    assert most.features[RESERVATIONS].state is FeatureState.DISABLED
    assert most.features[RESERVATIONS].because is Because.DEPENDENCY


def test_what_says_the_same_keeps_its_version_and_its_times() -> None:
    first = made(WEST.state(west(Level.LIMITED), None, None, START))
    later = made(WEST.state([child("eu.west.s0", Level.LIMITED, seconds=60)], first, None, at(60)))
    worse = made(WEST.state(west(Level.MINIMAL), later, None, at(61)))

    assert (later.version, later.since, later.observed_at) == (first.version, START, at(60))
    assert worse.version.ordered() == Version(first.version.epoch, 2)
    assert (worse.previous_level, worse.since) == ("LIMITED", at(61))
    change = WEST.change(worse, later)
    assert change is not None
    assert (change.from_level, change.to_level, change.version) == ("LIMITED", "MINIMAL", worse.version)
    assert WEST.change(later, first) is None


def test_a_region_is_silent_only_when_all_of_it_is() -> None:
    silent, fresh = child("eu.west.s0", Level.LIMITED), child("eu.west.s1", Level.LIMITED, seconds=300)

    some = made(WEST.state([silent, fresh], None, None, at(300)))
    none = made(WEST.state([silent], None, None, at(300)))

    assert (some.stale, none.stale) == (False, True)
    assert "1 of them silent" in some.cause


@pytest.mark.parametrize(
    ("held", "allow_better", "level"),
    [
        (Level.EMERGENCY, False, "EMERGENCY"),
        (Level.OPTIMAL, False, "LIMITED"),
        (Level.OPTIMAL, True, "OPTIMAL"),
    ],
)
def test_a_hold_on_the_level_of_a_region_is_in_force(held: Level, allow_better: bool, level: str) -> None:
    hold = on_level("eu.west", held, allow_better=allow_better)

    state = made(WEST.state(west(Level.LIMITED), None, hold, START))

    assert (state.level, state.automatic_level) == (level, "LIMITED")
    assert state.hold is not None
    assert (state.decided_by is DecidedBy.HOLD) == (level != "LIMITED")


@given(
    levels=st.dictionaries(st.sampled_from("abcdef"), st.sampled_from(Level), min_size=1),
    random=st.randoms(use_true_random=False),
    name=st.sampled_from("abcdef"),
)
def test_a_state_depends_on_no_order_and_a_worse_child_never_makes_it_better(
    levels: dict[str, Level], random: Random, name: str
) -> None:
    children = west(**levels)
    shuffled = random.sample(children, len(children))
    state = made(WEST.state(children, None, None, START))
    assert WEST.state(shuffled, None, None, START) == state

    worse = west(**levels | {name: Level.EMERGENCY}) if name in levels else children
    after = made(WEST.state(worse, state, None, START))

    assert after.rank >= state.rank
    assert after.version.ordered() >= state.version.ordered()


def test_reports_of_a_scope_that_is_rolled_up_are_refused() -> None:
    with pytest.raises(Refused) as refused:
        Engine(POLICY).observe(report("redis", [Outcome.OK], 0, scope="eu.west"), START)

    assert refused.value.reason is RefusalReason.ROLLED_UP


class Worker:
    """One engine's roll-ups on a bus that others may share."""

    def __init__(
        self,
        bus: MemoryBus,
        clock: ManualClock,
        owned: Callable[[str], bool] = bool,
        others: tuple[str, ...] = (),
    ) -> None:
        self.bus, self.clock, self.owned = bus, clock, owned
        self.holds: dict[str, HoldSet] | None = {}
        self.read = 0
        self.roll_ups = RollUps(
            POLICY,
            lambda _now: self.holds,
            lambda scope: self.owned(scope),  # noqa: PLW0108 - it is replaced meanwhile
            bus,
            SOURCE,
            clock=clock,
            metrics=build_registry(rows.TABLE),
            regions=Regions(others),
        )

    async def turn(self, seconds: float = LOOK_S) -> None:
        """Read what is new, and settle after some time."""
        for message in self.bus.records(Topic.LEVELS)[self.read :]:
            self.roll_ups.apply(message)
            self.read += 1
        await self.clock.sleep(seconds)
        await self.roll_ups.settle()

    async def tell(self, *states: LevelState) -> None:
        for state in states:
            await self.bus.publish(*encode(state, SOURCE))


@pytest.fixture
def worker() -> Worker:
    clock = ManualClock(START, jump=True)
    return Worker(MemoryBus(clock=clock), clock)


def levels_of(bus: MemoryBus, scope: str) -> list[LevelState]:
    found = (decode(message.value, message.headers).event for message in bus.records(Topic.LEVELS))
    return [event for event in found if isinstance(event, LevelState) and event.scope == scope]


def changes_of(bus: MemoryBus, scope: str) -> list[LevelChanged]:
    found = (decode(message.value, message.headers).event for message in bus.records(Topic.LEVEL_CHANGES))
    return [event for event in found if isinstance(event, LevelChanged) and event.scope == scope]


async def test_regions_within_regions_settle_in_one_turn(worker: Worker) -> None:
    await worker.tell(*west(Level.LIMITED), child("eu.north", Level.OPTIMAL))

    await worker.turn()

    assert [state.level for state in levels_of(worker.bus, "eu.west")] == ["LIMITED"]
    assert [state.level for state in levels_of(worker.bus, "eu")] == ["LIMITED"]
    assert [change.to_level for change in changes_of(worker.bus, "eu")] == ["LIMITED"]


async def test_nothing_is_said_twice_but_heartbeats(worker: Worker) -> None:
    await worker.tell(*west(Level.LIMITED))
    await worker.turn()
    for _ in range(40):
        await worker.turn()

    states = levels_of(worker.bus, "eu.west")
    heartbeat = timedelta(seconds=POLICY.timing.heartbeat_s)
    assert [state.version for state in states] == [states[0].version] * 2
    assert states[1].observed_at - states[0].observed_at >= heartbeat
    assert len(changes_of(worker.bus, "eu.west")) == 1


async def test_only_the_owner_writes_and_the_next_one_goes_on_with_its_versions(worker: Worker) -> None:
    other = Worker(worker.bus, worker.clock, lambda _scope: False)
    await worker.tell(*west(Level.LIMITED))
    await other.turn()
    assert levels_of(worker.bus, "eu.west") == []
    await worker.turn()

    worker.owned, other.owned = other.owned, worker.owned
    await worker.tell(*(state.model_copy(update={"scope": "eu.west.s9"}) for state in west(Level.EMERGENCY)))
    await worker.turn()
    await other.turn()

    states = levels_of(worker.bus, "eu.west")
    versions = [state.version.ordered() for state in states]
    assert [state.level for state in states] == ["LIMITED", "EMERGENCY"]
    assert versions[1] == Version(versions[0].epoch, versions[0].counter + 1)


async def test_what_is_of_another_region_or_above_one_is_not_written(worker: Worker) -> None:
    south = Worker(worker.bus, worker.clock, others=("eu.west",))
    north = Worker(worker.bus, worker.clock, others=("eu.north",))
    await worker.tell(*west(Level.LIMITED))

    await south.turn()
    assert len(worker.bus.records(Topic.LEVELS)) == 1
    await north.turn()

    assert len(levels_of(worker.bus, "eu.west")) == 1
    assert levels_of(worker.bus, "eu") == []


async def test_two_who_take_themselves_for_the_owner_come_to_the_same(worker: Worker) -> None:
    """Briefly so, while a partition moves: versions stay in order, and all readers end alike."""
    other = Worker(worker.bus, worker.clock)
    await worker.tell(*west(Level.LIMITED))
    for level, counter in ((Level.MINIMAL, 2), (Level.OPTIMAL, 3), (Level.DEGRADED, 4)):
        await worker.turn(0.3)
        await worker.tell(child("eu.west.s0", level, counter))
        await other.turn(0.3)
    for _ in range(3):
        await worker.turn()
        await other.turn()

    view = View(POLICY)
    for message in worker.bus.records(Topic.LEVELS):
        event = decode(message.value, message.headers).event
        assert isinstance(event, LevelState)
        view.apply_level(event)
    settled = view.level("eu.west", worker.clock.now())
    assert settled is not None
    assert settled.level is Level.DEGRADED
    count = len(worker.bus.records(Topic.LEVELS))
    await worker.turn()
    await other.turn()
    assert len(worker.bus.records(Topic.LEVELS)) == count


async def test_a_hold_comes_and_goes_and_nothing_is_said_while_holds_are_not_known(worker: Worker) -> None:
    await worker.tell(*west(Level.OPTIMAL))
    worker.holds = None
    await worker.turn()
    assert levels_of(worker.bus, "eu.west") == []

    worker.holds = {"eu.west": on_level("eu.west", Level.MINIMAL)}
    await worker.turn()
    worker.holds = {}
    await worker.turn()

    assert [state.level for state in levels_of(worker.bus, "eu.west")] == ["MINIMAL", "OPTIMAL"]


def test_what_is_of_no_region_is_passed_over_and_garbage_of_one_is_refused(worker: Worker) -> None:
    def record(key: bytes, value: bytes) -> Message:
        return Message(Topic.LEVELS, key, value, (), 0, 0, 0)

    worker.roll_ups.apply(record(b"us.s1", b"{"))
    with pytest.raises(BadMessage):
        worker.roll_ups.apply(record(b"eu.west.s1", b"{"))


def test_a_region_is_not_taken_over_as_a_scope_whose_state_was_lost() -> None:
    clock = ManualClock(START)
    bus, metrics = MemoryBus(clock=clock), build_registry(rows.TABLE)
    partition = Partition(0, POLICY, bus, SOURCE, clock=clock, random=Random(1), metrics=metrics)
    shelf = Shelf(1)
    shelf.put_level(child("eu.west", Level.MINIMAL))
    shelf.put_level(child("eu.west.s1", Level.MINIMAL))

    partition.restore(shelf)

    assert metrics.counter(rows.LOST_STATES)._value.get() == 1


async def test_ownership_says_whose_a_scope_is() -> None:
    clock = ManualClock(START)
    metrics = build_registry(rows.TABLE)

    def nothing(_now: datetime) -> dict[str, HoldSet]:
        return {}

    ownership = Ownership(
        POLICY, nothing, MemoryBus(clock=clock), SOURCE, clock=clock, random=Random(1), metrics=metrics
    )
    assert not ownership.owns("eu.west")

    home = Shelf(6).partition_of(b"eu.west")
    ownership.replace([home], Shelf(6))
    assert ownership.owns("eu.west")
    ownership.replace([(home + 1) % 6], Shelf(6))
    assert not ownership.owns("eu.west")
