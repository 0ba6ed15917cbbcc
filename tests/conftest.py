from __future__ import annotations

import pytest
from hypothesis import settings

pytest_plugins = ["tests.fixtures.services"]

# A busy machine makes an example slow, not wrong; pytest-timeout bounds the whole test.
settings.register_profile("suite", deadline=None)
settings.load_profile("suite")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Say which tests share a process: those of a file, and all that share the quick stack, which goes first.

    It takes as long to start as a hundred tests to run, and its tests are the longest row of all.
    """
    for item in items:
        group = "quick stack" if _on_quick_stack(item) else item.location[0]
        item.add_marker(pytest.mark.xdist_group(group))
    items.sort(key=lambda item: not _on_quick_stack(item))


def _on_quick_stack(item: pytest.Item) -> bool:
    return "quick_stack" in getattr(item, "fixturenames", ())
