from __future__ import annotations

import random
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flag_service.domain.audit import Action, AuditChain, Deed, of_hold
from resilience_contracts import AuditRecorded, decode, encode
from resilience_contracts.audit import GENESIS, entry_hash, faults, log_faults, lost
from tests.contracts.states import NOW, hold_set


def deed(number: int = 0) -> Deed:
    return Deed(
        Action.SET,
        "default",
        "t",
        f"ops-{number}",
        "because of a test",
        None,
        of_hold(hold_set()),
        f"c{number}",
    )


def chain(length: int, writer: str = "w") -> list[AuditRecorded]:
    one = AuditChain(writer)
    return [one.extend(deed(number), NOW + timedelta(seconds=number)) for number in range(length)]


def test_entries_carry_the_hash_of_the_one_before() -> None:
    first, second = chain(2)

    assert first.previous_hash == GENESIS
    assert second.previous_hash == first.hash == entry_hash(first)
    assert (first.sequence, second.sequence) == (0, 1)


def test_an_entry_shows_before_and_after() -> None:
    entry = AuditChain("w").extend(deed(), NOW)

    assert entry.before is None
    assert entry.after is not None
    assert entry.after["state"] == "DISABLED"
    assert entry.after["expires_at"] == "2026-03-01T13:00:00.000Z"


def test_what_did_not_come_to_pass_says_so() -> None:
    assert AuditChain("w").extend(deed().undone(), NOW).action == "hold.not_stored"


def test_a_chain_goes_on_after_a_restart() -> None:
    before = chain(3)
    restarted = AuditChain("w")
    for entry in before:
        restarted.resume(entry)

    entry = restarted.extend(deed(), NOW)

    assert not list(faults([*before, entry]))
    assert entry.sequence == 3


def test_another_writers_entries_do_not_move_the_chain() -> None:
    ours = AuditChain("w")

    ours.resume(chain(3, "other")[-1])

    assert ours.extend(deed(), NOW).sequence == 0


def test_the_hash_survives_the_wire() -> None:
    entry = chain(2)[1]
    record = encode(entry, "/services/flag-service/1")

    read = decode(record.value, record.headers).event

    assert isinstance(read, AuditRecorded)
    assert entry_hash(read) == entry.hash


@given(length=st.integers(1, 12), seed=st.integers(0, 2**16))
def test_a_whole_chain_has_no_fault_whatever_the_order_of_arrival_and_however_often_it_came(
    length: int, seed: int
) -> None:
    entries = [*chain(length), *chain(length, "other")]
    entries += entries[:2]
    random.Random(seed).shuffle(entries)

    assert not list(faults(entries))


@given(data=st.data(), length=st.integers(3, 12))
def test_a_dropped_entry_is_found(data: st.DataObject, length: int) -> None:
    entries = chain(length)
    del entries[data.draw(st.integers(1, length - 2))]

    assert list(faults(entries))


@given(data=st.data(), length=st.integers(1, 8))
@pytest.mark.parametrize(
    "change",
    [{"actor": "mallory"}, {"reason": "another reason"}, {"after": None}, {"target": "x"}, {"sequence": 99}],
)
def test_a_changed_entry_is_found(change: dict[str, object], data: st.DataObject, length: int) -> None:
    entries = chain(length)
    index = data.draw(st.integers(0, length - 1))
    entries[index] = entries[index].model_copy(update=change)

    assert any("does not give its hash" in fault for fault in faults(entries))


def test_a_rewritten_entry_with_a_right_hash_breaks_the_one_after_it() -> None:
    entries = chain(3)
    forged = entries[1].model_copy(update={"actor": "mallory"})
    entries[1] = forged.model_copy(update={"hash": entry_hash(forged)})

    assert list(faults(entries)) == ["w/2: does not follow the entry before it"]


@given(data=st.data(), length=st.integers(2, 12))
def test_entries_that_changed_places_are_found(data: st.DataObject, length: int) -> None:
    log = [entry for pair in zip(chain(length), chain(length, "other"), strict=True) for entry in pair]
    index = data.draw(st.integers(0, length - 2)) * 2
    log[index], log[index + 2] = log[index + 2], log[index]

    assert any("stands after" in fault for fault in log_faults(log))


@given(length=st.integers(1, 12), again=st.integers(0, 11))
def test_a_whole_log_has_no_fault_though_an_entry_came_twice(length: int, again: int) -> None:
    log = chain(length)

    assert not list(log_faults([*log, log[again % length]]))


def test_a_log_whose_beginning_was_dropped_is_found_and_its_end_only_by_an_earlier_copy() -> None:
    log = chain(4)

    assert list(log_faults(log[1:])) == ["w/1: what came before it is missing"]
    assert not list(log_faults(log[:3]))
    assert list(lost(log[:3], log)) == ["w/3: is in the earlier copy and not here as it was"]


def test_a_chain_that_was_forged_from_its_beginning_is_found_by_an_earlier_copy() -> None:
    forger = AuditChain("w")
    forged = [forger.extend(deed(number + 1), NOW) for number in range(3)]

    assert not list(log_faults(forged))
    assert len(list(lost(forged, chain(3)))) == 3
