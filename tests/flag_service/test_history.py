from __future__ import annotations

from flag_service.domain.history import History
from resilience_contracts import LevelChanged, VersionPart
from tests.contracts.states import level_changed


def change(counter: int, scope: str = "default", epoch: int = 1) -> LevelChanged:
    """Return a change; those with odd counters go down, those with even ones up again."""
    version, down = VersionPart(epoch=epoch, counter=counter), counter % 2
    levels = {"from_level": "OPTIMAL", "to_level": "MINIMAL", "from_rank": 0, "to_rank": 3}
    back = {"from_level": "MINIMAL", "to_level": "OPTIMAL", "from_rank": 3, "to_rank": 0}
    step = levels if down else back
    return level_changed().model_copy(update={"scope": scope, "version": version, **step})


def test_the_newest_comes_first_and_scopes_are_apart() -> None:
    history = History()
    for counter in (1, 2, 3):
        history.add(change(counter))
    history.add(change(1, "other"))

    assert [one.version.counter for one in history.newest("default", 2)] == [3, 2]
    assert len(history.newest("other", 9)) == 1


def test_a_change_heard_again_is_kept_once() -> None:
    history = History()

    assert [history.add(change(2)), history.add(change(2)), history.add(change(1))] == [True, False, False]
    assert history.revision == 1


def test_a_newer_epoch_counts_from_anywhere() -> None:
    history = History()
    history.add(change(9))

    assert history.add(change(1, epoch=2))


def test_a_change_that_a_killed_engine_announced_again_in_a_later_version_is_kept_once() -> None:
    history = History()

    kept = [history.add(change(counter)) for counter in (1, 3, 5, 6, 7)]

    assert kept == [True, False, False, True, True]
    assert [one.version.counter for one in history.newest("default", 9)] == [7, 6, 1]


def test_the_same_step_of_an_engine_that_lost_its_state_counts() -> None:
    history = History()

    assert [history.add(change(1)), history.add(change(1, epoch=2))] == [True, True]


def test_only_the_last_ones_are_kept() -> None:
    history = History(capacity=3)
    for counter in range(10):
        history.add(change(counter))

    assert [one.version.counter for one in history.save(2)] == [8, 9]
    assert len(history.newest("default", 99)) == 3
