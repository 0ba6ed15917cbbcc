from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from resilience_cli.stack import Place, PostgreSQL
from resilience_cli.stack import postgresql as module


def test_stacks_that_start_at_once_make_one_user(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []
    another_came = threading.Event()

    def look_up(user: str) -> str:
        if user not in made:
            raise KeyError(user)
        return user

    def make(user: str) -> None:
        another_came.wait(0.2)
        another_came.set()
        made.append(user)

    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setattr("pwd.getpwnam", look_up)
    monkeypatch.setattr(module, "_create_user", make)
    with ThreadPoolExecutor(3) as pool:
        database = PostgreSQL(Place(Path()), 1)
        users = list(pool.map(lambda _: database._system_user(), range(3)))

    assert users == [module.SYSTEM_USER] * 3
    assert made == [module.SYSTEM_USER]
