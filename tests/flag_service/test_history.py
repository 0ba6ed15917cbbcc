from __future__ import annotations

from flag_service.domain.history import History
from resilience_contracts import LevelChanged, VersionPart
from tests.contracts.states import level_changed


def change(counter: int, scope: str = "default", epoch: int = 1) -> LevelChanged:
    version = VersionPart(epoch=epoch, counter=counter)
    return level_changed().model_copy(update={"scope": scope, "version": version})


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


def test_only_the_last_ones_are_kept() -> None:
    history = History(capacity=3)
    for counter in range(10):
        history.add(change(counter))

    assert [one.version.counter for one in history.save(2)] == [8, 9]
    assert len(history.newest("default", 99)) == 3
