from __future__ import annotations

from dataclasses import dataclass
from uuid import uuid4

import pytest

from inventory_api.adapters.memory import MemoryStore
from inventory_api.application.adjusting import Adjusted, adjust
from inventory_api.application.answering import Request, answer
from inventory_api.application.applying import apply_command, skip
from inventory_api.application.commands import Backlog, Commands
from inventory_api.application.errors import UnavailableError
from inventory_api.application.store import Transaction
from inventory_api.domain.errors import KeyReusedError, UnknownOperationError
from inventory_api.domain.operation import OperationState
from inventory_api.domain.stock import Place
from resilience_contracts import AdjustmentCommand, Topic, decode
from resilience_runtime import ManualClock, MemoryBus
from tests.inventory_api.store_contract import change, level_of, place_with, show


@dataclass(frozen=True, slots=True)
class Bench:
    clock: ManualClock
    store: MemoryStore
    bus: MemoryBus
    commands: Commands

    def log(self) -> list[AdjustmentCommand]:
        events = [decode(m.value, m.headers).event for m in self.bus.records(Topic.COMMANDS)]
        return [event for event in events if isinstance(event, AdjustmentCommand)]

    async def accept(self, place: Place, delta: int, key: str, sha: str | None = None) -> str:
        request = Request("test", key, sha or f"{delta:064d}".replace("-", "0"))
        return (await self.commands.accept(change(place, delta), request)).id


@pytest.fixture
def bench() -> Bench:
    clock = ManualClock(jump=True)
    store, bus = MemoryStore(clock), MemoryBus(clock=clock)
    return Bench(clock, store, bus, Commands(bus, store, clock, "/tests", Backlog()))


async def drain(bench: Bench, start: int = 0) -> list[OperationState | None]:
    states: list[OperationState | None] = []
    for offset, command in list(enumerate(bench.log()))[start:]:
        done = await apply_command(bench.store, command, 0, offset, show)
        states.append(done.state if done else None)
    return states


async def test_commands_are_applied_once_however_often_they_come(bench: Bench) -> None:
    place = await place_with(bench.store, 10)
    first = await bench.accept(place, 5, "k1")
    again = await bench.accept(place, 5, "k1")
    await bench.accept(place, -3, "k2")
    assert first == again

    await drain(bench)
    replayed = await drain(bench)

    assert replayed == [None, None, None]
    assert (await level_of(bench.store, place)).on_hand == 12
    assert (await bench.commands.operation(first)).state is OperationState.APPLIED


async def test_a_log_that_begins_anew_applies_nothing_twice(bench: Bench) -> None:
    place = await place_with(bench.store, 10)
    await bench.accept(place, 5, "k1")
    await drain(bench)
    async with bench.store.transaction() as transaction:
        await transaction.commands.move_offset(0, 0)

    await drain(bench)

    assert (await level_of(bench.store, place)).on_hand == 15


async def test_what_would_take_held_stock_becomes_an_exception(bench: Bench) -> None:
    place = await place_with(bench.store, 10)
    operation = await bench.accept(place, -11, "k1")

    await drain(bench)

    done = await bench.commands.operation(operation)
    assert (done.state, done.code) == (OperationState.EXCEPTION, "insufficient_stock")
    assert (await level_of(bench.store, place)).on_hand == 10


async def test_a_request_that_was_done_directly_is_not_done_again(bench: Bench) -> None:
    place = await place_with(bench.store, 10)
    request = Request("test", "k1", f"{5:064d}")

    async def work(transaction: Transaction) -> Adjusted:
        return await adjust(transaction, change(place, 5))

    await answer(bench.store, request, work, show)
    operation = await bench.accept(place, 5, "k1")
    await drain(bench)

    assert (await bench.commands.operation(operation)).state is OperationState.APPLIED
    assert (await level_of(bench.store, place)).on_hand == 15


async def test_a_request_that_was_refused_directly_is_an_exception_and_no_lost_write(bench: Bench) -> None:
    place = await place_with(bench.store, 3)

    async def work(transaction: Transaction) -> Adjusted:
        return await adjust(transaction, change(place, -5))

    refused = await answer(bench.store, Request("test", "k1", f"{-5:064d}".replace("-", "0")), work, show)
    operation = await bench.accept(place, -5, "k1")
    await drain(bench)

    done = await bench.commands.operation(operation)
    assert refused.status == 409
    assert (done.state, done.code) == (OperationState.EXCEPTION, "insufficient_stock")
    assert (await level_of(bench.store, place)).on_hand == 3


async def test_an_applied_command_answers_its_key_afterwards(bench: Bench) -> None:
    place = await place_with(bench.store, 10)
    await bench.accept(place, 5, "k1")
    await drain(bench)

    async def work(transaction: Transaction) -> Adjusted:
        return await adjust(transaction, change(place, 5))

    repeated = await answer(bench.store, Request("test", "k1", f"{5:064d}"), work, show)

    assert repeated.body == "15"
    assert (await level_of(bench.store, place)).on_hand == 15


async def test_a_key_with_another_body_is_refused_or_an_exception(bench: Bench) -> None:
    place = await place_with(bench.store, 10)
    await bench.accept(place, 5, "k1")
    with pytest.raises(KeyReusedError):
        await bench.accept(place, 6, "k1")
    elsewhere = Commands(bench.bus, bench.store, bench.clock, "/tests", Backlog())

    operation = await elsewhere.accept(change(place, 6), Request("test", "k1", f"{6:064d}"))
    await drain(bench)

    assert (await elsewhere.operation(operation.id)).code == "idempotency_key_reused"
    assert (await level_of(bench.store, place)).on_hand == 15


async def test_nothing_is_promised_when_the_log_is_away_too(bench: Bench) -> None:
    place = await place_with(bench.store, 10)
    bench.bus.up = False

    with pytest.raises(UnavailableError, match="kafka"):
        await bench.accept(place, 5, "k1")


async def test_an_operation_is_known_while_the_database_is_away(bench: Bench) -> None:
    place = await place_with(bench.store, 10)
    operation = await bench.accept(place, 5, "k1")
    bench.store.up = False

    assert (await bench.commands.operation(operation)).state is OperationState.ACCEPTED
    with pytest.raises(UnavailableError):
        await bench.commands.operation(str(uuid4()))
    bench.store.up = True
    with pytest.raises(UnknownOperationError):
        await bench.commands.operation(str(uuid4()))


async def test_what_is_no_command_is_passed_over(bench: Bench) -> None:
    place = await place_with(bench.store, 10)
    await skip(bench.store, 0, 0)

    await bench.accept(place, 5, "k1")
    command = bench.log()[0]

    assert await apply_command(bench.store, command, 0, 0, show) is None
    assert await apply_command(bench.store, command, 0, 1, show)
