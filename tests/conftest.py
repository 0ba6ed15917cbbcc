from __future__ import annotations

from hypothesis import settings

pytest_plugins = ["tests.fixtures.services"]

# A busy machine makes an example slow, not wrong; pytest-timeout bounds the whole test.
settings.register_profile("suite", deadline=None)
settings.load_profile("suite")
