"""What every store must do, through the use cases that stand on it. One subclass per store gives `store`."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from inventory_api.application.adjusting import Adjusted, Thresholds, adjust, set_thresholds
from inventory_api.application.answering import Request, answer
from inventory_api.application.counting import Counted
from inventory_api.application.reserving import (
    Seen,
    find_reservation,
    reserve,
    reserve_plainly,
    settle_plainly,
    settle_reservation,
)
from inventory_api.application.store import Answer, Store, Transaction
from inventory_api.domain.adjustment import Adjustment, Reason
from inventory_api.domain.errors import (
    BackorderedError,
    InsufficientStockError,
    InventoryError,
    KeyInFlightError,
    KeyReusedError,
    LocationExistsError,
    NotHeldError,
    ReservationClosedError,
    ReservationExpiredError,
    SkuExistsError,
    UnknownLocationError,
    UnknownReservationError,
    UnknownSkuError,
)
from inventory_api.domain.operation import Operation, OperationState
from inventory_api.domain.reservation import ReservationState, Settlement
from inventory_api.domain.sku import LocationKind, NewLocation, NewSku
from inventory_api.domain.stock import Line, Place, StockLevel

NOW = datetime(2026, 11, 25, tzinfo=UTC)
Wait = Callable[[float], object]


def change(
    place: Place, delta: int, reason: Reason = Reason.CORRECTION, reference: str | None = None
) -> Adjustment:
    return Adjustment(place, delta, reason, "test", NOW, reference)


async def place_with(
    store: Store,
    on_hand: int,
    *,
    safety_stock: int = 0,
    backorder_limit: int = 0,
    location: str | None = None,
) -> Place:
    """Give a new SKU so much stock at a new or given location."""
    place = Place(f"SKU-{uuid.uuid4().hex}", location or f"loc-{uuid.uuid4().hex}")
    async with store.transaction() as transaction:
        await transaction.catalogue.add_sku(
            NewSku(place.sku, "Thing", safety_stock=safety_stock, backorder_limit=backorder_limit)
        )
        if location is None:
            await transaction.catalogue.add_location(NewLocation(place.location, "Place", LocationKind.STORE))
        if on_hand:
            await adjust(transaction, change(place, on_hand))
    return place


async def hold_plainly(store: Store, *lines: Line, ttl_s: int = 60) -> Seen | None:
    async with store.single() as transaction:
        return await reserve_plainly(transaction, "cart", list(lines), ttl_s)


async def hold(store: Store, *lines: Line, ttl_s: int = 60) -> Seen:
    """Hold as the API does: in one step where it is plain."""
    if (seen := await hold_plainly(store, *lines, ttl_s=ttl_s)) is not None:
        return seen
    async with store.transaction() as transaction:
        return await reserve(transaction, "cart", list(lines), ttl_s)


async def settle(
    store: Store, seen: Seen, settlement: Settlement, *lines: Line
) -> Seen | ReservationExpiredError:
    async with store.transaction() as transaction:
        return await settle_reservation(transaction, seen.reservation.id, settlement, lines or None, "test")


async def settle_at_once(store: Store, seen: Seen, settlement: Settlement) -> Seen | None:
    async with store.single() as transaction:
        return await settle_plainly(transaction, seen.reservation.id, settlement, "test")


async def told_of(store: Store, place: Place, seen: Seen) -> tuple[object, ...]:
    """Return what is told of a settlement and of its place, but for names and times."""
    level, reservation = await level_of(store, place), seen.reservation
    async with store.reading() as transaction:
        entries = await transaction.ledger.entries(place.sku, None, 0, 10)
    lines = [(each.quantity, each.held, each.confirmed, each.released) for each in reservation.lines]
    recorded = [(each.sequence, each.delta, each.after, each.reference, each.actor) for each in entries]
    return reservation.state, reservation.owner_ref, lines, level.on_hand, level.reserved, recorded


async def level_of(store: Store, place: Place) -> StockLevel:
    async with store.reading() as transaction:
        stock = await transaction.levels.stock([place.sku], NOW)
    return next(level for level in stock[place.sku].levels if level.place == place)


class StoreContract:
    async def test_a_sku_is_kept_exactly_and_refused_twice(self, store: Store) -> None:
        name = f"0017.{uuid.uuid4().hex}."
        async with store.transaction() as transaction:
            added = await transaction.catalogue.add_sku(NewSku(name, "Thing", attributes={"colour": "red"}))

        with pytest.raises(SkuExistsError):
            async with store.transaction() as transaction:
                await transaction.catalogue.add_sku(NewSku(name.upper(), "Thing"))

        async with store.reading() as transaction:
            assert await transaction.catalogue.known_skus([name, name.upper()]) == {name}
            stock = await transaction.levels.stock([name], NOW)
        assert stock[name].sku == added
        assert added.attributes == {"colour": "red"}

    async def test_locations_are_unique_and_paged(self, store: Store) -> None:
        prefix = uuid.uuid4().hex
        async with store.transaction() as transaction:
            for number in range(3):
                await transaction.catalogue.add_location(
                    NewLocation(f"{prefix}-{number}", "Place", LocationKind.VIRTUAL)
                )

        async with store.reading() as transaction:
            page = await transaction.catalogue.locations(f"{prefix}-0", 1)
        assert [location.code for location in page] == [f"{prefix}-1"]
        with pytest.raises(LocationExistsError):
            async with store.transaction() as transaction:
                await transaction.catalogue.add_location(
                    NewLocation(f"{prefix}-0".upper(), "Place", LocationKind.STORE)
                )

    async def test_what_raised_did_not_happen(self, store: Store) -> None:
        place = await place_with(store, 5)

        with pytest.raises(ValueError, match="stop"):  # noqa: PT012 - the transaction is the block
            async with store.transaction() as transaction:
                await adjust(transaction, change(place, 5))
                raise ValueError("stop")

        assert (await level_of(store, place)).on_hand == 5

    async def test_the_ledger_adds_up_without_gaps(self, store: Store) -> None:
        place = await place_with(store, 10)
        for delta in (-4, 7, -6):
            async with store.transaction() as transaction:
                await adjust(transaction, change(place, delta))

        async with store.reading() as transaction:
            entries = await transaction.ledger.entries(place.sku, None, 0, 10)
        assert [entry.sequence for entry in entries] == [1, 2, 3, 4]
        assert [entry.delta for entry in entries] == [10, -4, 7, -6]
        assert all(entry.after == entry.before + entry.delta for entry in entries)
        assert entries[-1].after == (await level_of(store, place)).on_hand == 7

    async def test_lost_updates_do_not_happen_b3(self, store: Store) -> None:
        place = await place_with(store, 100)

        async def take(delta: int) -> None:
            async with store.transaction() as transaction:
                await adjust(transaction, change(place, delta))

        await asyncio.gather(take(-5), take(-3))

        assert (await level_of(store, place)).on_hand == 92

    async def test_lines_of_one_place_are_summed_b1(self, store: Store) -> None:
        place = await place_with(store, 1)

        with pytest.raises(InsufficientStockError) as refused:
            await hold(store, Line(place, 1), Line(place, 1))

        shortage = refused.value.shortages[0]
        assert (shortage.requested, shortage.available) == (2, 1)
        assert (await level_of(store, place)).reserved == 0

    async def test_all_lines_or_none(self, store: Store) -> None:
        plenty = await place_with(store, 100)
        scarce = await place_with(store, 1)

        with pytest.raises(InsufficientStockError) as refused:
            await hold(store, Line(plenty, 5), Line(scarce, 2))

        assert [shortage.sku for shortage in refused.value.shortages] == [scarce.sku]
        assert (await level_of(store, plenty)).reserved == 0

    async def test_two_carts_one_unit_b2_b4(self, store: Store) -> None:
        place = await place_with(store, 5)

        results = await asyncio.gather(
            hold(store, Line(place, 3)), hold(store, Line(place, 3)), return_exceptions=True
        )

        refused = [result for result in results if isinstance(result, InsufficientStockError)]
        assert len(refused) == 1
        assert refused[0].shortages[0].available == 2
        assert (await level_of(store, place)).reserved == 3

    async def test_safety_stock_is_not_promised(self, store: Store) -> None:
        place = await place_with(store, 5, safety_stock=3)

        with pytest.raises(InsufficientStockError):
            await hold(store, Line(place, 3))

        assert (await hold(store, Line(place, 2))).reservation.state is ReservationState.ACTIVE

    async def test_so_many_are_held_beyond_what_is_available_as_the_sku_allows(self, store: Store) -> None:
        place = await place_with(store, 5, safety_stock=1, backorder_limit=3)

        with pytest.raises(InsufficientStockError) as refused:
            await hold(store, Line(place, 8))
        seen = await hold(store, Line(place, 7))
        with pytest.raises(InsufficientStockError):
            await hold(store, Line(place, 1))

        assert refused.value.shortages[0].available == 7
        level = await level_of(store, place)
        assert (level.on_hand, level.reserved, level.available, level.holdable) == (5, 7, 0, 0)
        with pytest.raises(InsufficientStockError):  # nothing is handed over that is not there
            await settle(store, seen, Settlement.CONFIRM)
        async with store.transaction() as transaction:
            await adjust(transaction, change(place, 1))
            await adjust(transaction, change(place, 1))
        assert isinstance(await settle(store, seen, Settlement.CONFIRM), Seen)
        level = await level_of(store, place)
        assert (level.on_hand, level.reserved) == (0, 0)

    async def test_a_limit_goes_no_lower_than_what_is_held_beyond(self, store: Store) -> None:
        place = await place_with(store, 1, backorder_limit=5)
        await hold(store, Line(place, 4))

        async with store.transaction() as transaction:
            with pytest.raises(BackorderedError):
                await set_thresholds(transaction, place, None, Thresholds(0, 0, 2))
        async with store.transaction() as transaction:
            level = await set_thresholds(transaction, place, None, Thresholds(2, 1, 3))
            kept = await set_thresholds(transaction, place, None, Thresholds(2, 1))
        assert (level.backorder_limit, kept.backorder_limit) == (3, 3)
        assert (kept.safety_stock, kept.reorder_point) == (2, 1)

    async def test_a_plain_hold_is_as_any_other(self, store: Store) -> None:
        place = await place_with(store, 5)

        plain = await hold_plainly(store, Line(place, 1), Line(place, 2))
        async with store.transaction() as transaction:
            other = await reserve(transaction, "cart", [Line(place, 1)], 60)

        assert plain is not None
        assert [(line.place, line.quantity, line.held) for line in plain.reservation.lines] == [(place, 3, 3)]
        assert plain.reservation.lines[0].level_id == other.reservation.lines[0].level_id
        async with store.reading() as transaction:
            assert (
                await find_reservation(transaction, plain.reservation.id)
            ).reservation == plain.reservation
        assert (await level_of(store, place)).reserved == 4

    async def test_what_is_not_plain_is_left_undone(self, store: Store, wait: Wait) -> None:
        place, other = await place_with(store, 5, safety_stock=1), await place_with(store, 5)
        nowhere = Place(place.sku, other.location)

        assert await hold_plainly(store, Line(place, 5)) is None
        assert await hold_plainly(store, Line(place, 1), Line(other, 1)) is None
        assert await hold_plainly(store, Line(nowhere, 1)) is None
        assert await hold_plainly(store, Line(Place("none", "nowhere"), 1)) is None
        assert [(await level_of(store, each)).reserved for each in (place, other)] == [0, 0]
        await hold(store, Line(place, 4), ttl_s=1)
        wait(1.1)
        assert await hold_plainly(store, Line(place, 1)) is None
        assert (await hold(store, Line(place, 4))).reservation.state is ReservationState.ACTIVE

    async def test_plain_holds_side_by_side_take_no_more_than_there_is(self, store: Store) -> None:
        place = await place_with(store, 10)

        held = await asyncio.gather(*(hold_plainly(store, Line(place, 1)) for _ in range(30)))

        assert len([seen for seen in held if seen is not None]) == 10
        assert (await level_of(store, place)).available == 0

    @pytest.mark.parametrize("settlement", list(Settlement))
    async def test_a_plain_settlement_is_as_any_other(self, store: Store, settlement: Settlement) -> None:
        places = [await place_with(store, 5) for _ in range(2)]
        seen = [await hold(store, Line(place, 3)) for place in places]

        plain = await settle_at_once(store, seen[0], settlement)
        other = await settle(store, seen[1], settlement)

        assert isinstance(plain, Seen)
        assert isinstance(other, Seen)
        assert await told_of(store, places[0], plain) == await told_of(store, places[1], other)
        async with store.reading() as transaction:
            assert (
                await find_reservation(transaction, plain.reservation.id)
            ).reservation == plain.reservation
            returns = await transaction.ledger.entries(places[0].sku, None, 0, 10)
        sold = settlement is Settlement.CONFIRM
        assert [(entry.delta, entry.reason) for entry in returns][1:] == [(-3, Reason.SALE)] * sold

    async def test_a_settlement_that_is_not_plain_is_left_undone(self, store: Store, wait: Wait) -> None:
        place, other = await place_with(store, 9), await place_with(store, 9)
        both = await hold(store, Line(place, 1), Line(other, 1))
        partial, closed = await hold(store, Line(place, 3)), await hold(store, Line(place, 2))
        await settle(store, partial, Settlement.CONFIRM, Line(place, 1))
        await settle(store, closed, Settlement.RELEASE)
        late = await hold(store, Line(other, 1), ttl_s=1)
        wait(1.1)

        for seen in (both, partial, closed, late):
            for settlement in Settlement:
                assert await settle_at_once(store, seen, settlement) is None
        async with store.single() as transaction:
            for name in (str(uuid.uuid4()), "no id", ""):
                assert await settle_plainly(transaction, name, Settlement.CONFIRM, "test") is None
        assert (await level_of(store, place)).reserved == 3
        assert (await level_of(store, place)).on_hand == 8

    async def test_of_those_who_settle_the_same_hold_at_once_one_does(self, store: Store) -> None:
        place = await place_with(store, 9)
        seen = await hold(store, Line(place, 4))

        done = await asyncio.gather(
            *(settle_at_once(store, seen, settlement) for settlement in [*Settlement] * 8)
        )

        (settled,) = [each for each in done if each is not None]
        level = await level_of(store, place)
        sold = 4 if settled.reservation.state is ReservationState.CONFIRMED else 0
        assert (level.on_hand, level.reserved) == (9 - sold, 0)

    async def test_own_units_can_be_confirmed_when_nothing_else_is_available_b5(self, store: Store) -> None:
        place = await place_with(store, 5)
        seen = await hold(store, Line(place, 5))

        done = await settle(store, seen, Settlement.CONFIRM, Line(place, 3))

        assert isinstance(done, Seen)
        assert done.reservation.state is ReservationState.PARTIAL
        level = await level_of(store, place)
        assert (level.on_hand, level.reserved, level.available) == (2, 2, 0)

    async def test_releasing_twice_releases_once_b7(self, store: Store) -> None:
        place = await place_with(store, 5)
        seen = await hold(store, Line(place, 3))

        await settle(store, seen, Settlement.RELEASE)
        again = await settle(store, seen, Settlement.RELEASE)

        assert isinstance(again, Seen)
        assert again.reservation.state is ReservationState.RELEASED
        assert (await level_of(store, place)).reserved == 0

    async def test_final_states_absorb(self, store: Store) -> None:
        place = await place_with(store, 5)
        seen = await hold(store, Line(place, 3))
        await settle(store, seen, Settlement.CONFIRM)

        with pytest.raises(ReservationClosedError):
            await settle(store, seen, Settlement.RELEASE)

        level = await level_of(store, place)
        assert (level.on_hand, level.reserved) == (2, 0)

    async def test_more_than_is_held_is_refused(self, store: Store) -> None:
        place = await place_with(store, 5)
        seen = await hold(store, Line(place, 2))

        with pytest.raises(NotHeldError):
            await settle(store, seen, Settlement.CONFIRM, Line(place, 3))

    async def test_an_expired_hold_strands_nothing(self, store: Store, wait: Wait) -> None:
        place = await place_with(store, 5)
        seen = await hold(store, Line(place, 5), ttl_s=1)
        assert (await level_of(store, place)).available == 0

        wait(1.1)

        assert (await level_of(store, place)).available == 5
        async with store.reading() as transaction:
            found = await find_reservation(transaction, seen.reservation.id)
        assert found.reservation.state_at(found.at) is ReservationState.EXPIRED
        assert (await hold(store, Line(place, 5))).reservation.state is ReservationState.ACTIVE
        assert isinstance(await settle(store, seen, Settlement.CONFIRM), ReservationExpiredError)
        assert (await level_of(store, place)).reserved == 5

    async def test_confirming_an_expired_hold_gives_it_back(self, store: Store, wait: Wait) -> None:
        place = await place_with(store, 5)
        seen = await hold(store, Line(place, 5), ttl_s=1)
        wait(1.1)

        assert isinstance(await settle(store, seen, Settlement.CONFIRM), ReservationExpiredError)

        level = await level_of(store, place)
        assert (level.on_hand, level.reserved) == (5, 0)

    async def test_held_stock_cannot_be_adjusted_away(self, store: Store) -> None:
        place = await place_with(store, 5)
        await hold(store, Line(place, 4))

        with pytest.raises(InsufficientStockError) as refused:
            async with store.transaction() as transaction:
                await adjust(transaction, change(place, -2, Reason.DAMAGE))

        assert refused.value.shortages[0].available == 1

    async def test_unknown_names_are_named(self, store: Store) -> None:
        place = await place_with(store, 1)

        with pytest.raises(UnknownSkuError, match="nothing-here"):
            await hold(store, Line(Place("nothing-here", place.location), 1))
        with pytest.raises(UnknownLocationError, match="nowhere-here"):
            await hold(store, Line(Place(place.sku, "nowhere-here"), 1))
        for wrong in ("no uuid", str(uuid.uuid4())):
            with pytest.raises(UnknownReservationError):
                async with store.reading() as transaction:
                    await find_reservation(transaction, wrong)

    async def test_a_key_is_answered_once_b14(self, store: Store) -> None:
        place = await place_with(store, 10)
        key, shown = uuid.uuid4().hex, show

        async def ask(delta: int) -> Answer:
            async def work(transaction: Transaction) -> Adjusted:
                return await adjust(transaction, change(place, delta))

            return await answer(store, Request("me", key, f"sha of {delta}"), work, shown)

        answers = await asyncio.gather(ask(5), ask(5), return_exceptions=True)

        assert {a.body for a in answers if isinstance(a, Answer)} == {"15"}
        assert {type(a) for a in answers if not isinstance(a, Answer)} <= {KeyInFlightError}
        assert (await ask(5)).body == "15"
        with pytest.raises(KeyReusedError):
            await ask(6)
        assert (await level_of(store, place)).on_hand == 15

    async def test_a_refusal_is_kept_and_undone(self, store: Store) -> None:
        place = await place_with(store, 1)
        request = Request("me", uuid.uuid4().hex, "sha")

        async def work(transaction: Transaction) -> Adjusted:
            await adjust(transaction, change(place, -1))
            return await adjust(transaction, change(place, -1))

        first = await answer(store, request, work, show)
        async with store.transaction() as transaction:
            await adjust(transaction, change(place, 5))

        assert first == await answer(store, request, work, show)
        assert first.status == 409
        assert (await level_of(store, place)).on_hand == 6

    async def test_the_first_outcome_of_a_command_stays(self, store: Store) -> None:
        name = uuid.uuid4().hex
        for state in (OperationState.APPLIED, OperationState.EXCEPTION):
            async with store.transaction() as transaction:
                await transaction.commands.finish(Operation(name, state, NOW), "{}")

        async with store.reading() as transaction:
            found = await transaction.commands.operation(name)
            assert await transaction.commands.operation("other") is None
        assert found is not None
        assert found.state is OperationState.APPLIED

    async def test_progress_of_a_partition_is_kept(self, store: Store) -> None:
        async with store.transaction() as transaction:
            await transaction.commands.lock_offset(77)
            await transaction.commands.move_offset(77, 12)

        async with store.transaction() as transaction:
            assert await transaction.commands.lock_offset(77) == 12


def show(done: Adjusted | Counted | InventoryError) -> Answer:
    if isinstance(done, InventoryError):
        return Answer(409, {}, json.dumps({"code": done.code}))
    if isinstance(done, Counted):
        return Answer(201, {}, str(done.level.on_hand))
    return Answer(201, {"X": "y"}, str(done.entry.after))
