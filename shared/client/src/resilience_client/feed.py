"""The feed: what is known of one scope now, kept current by a source."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from random import Random
from types import TracebackType
from typing import Protocol, Self

from resilience_contracts import (
    FeatureState,
    FeatureView,
    Level,
    LevelView,
    Policy,
    View,
    default_policy,
    retry_after_s,
)

from .errors import UnknownFeatureError

GRACE_S = 5.0


class Source(Protocol):
    """Where a feed's knowledge comes from."""

    async def run(self, feed: LevelFeed) -> None:
        """Write into `feed.view` and call `feed.heard()`, for ever, through every outage.

        `feed.lost()` is called when the source no longer hears what changes. Raises nothing but what a bug is.
        """
        ...


class LevelFeed:
    """The level and the features of one scope, or of the nearest above it while it has no level of its own.

    Open it with `async with`, or give `feed.lifespan` to an application. Before anything is heard, and with
    nothing in reach, every feature has the `unknown` mode of the policy: never an accidental false.

    Args:
        source: `SseSource(url)` or `KafkaSource(kafka)`.
        scope: whose level.
        policy: what to go by until something is heard; the one that ships by default.
        now: the wall clock; in step with the services' to within some seconds.
        monotonic: seconds that never jump.
    """

    def __init__(
        self,
        source: Source,
        scope: str = "default",
        *,
        policy: Policy | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        monotonic: Callable[[], float] = time.monotonic,
        random: Random | None = None,
    ) -> None:
        self.scope = scope
        self.view = View(policy or default_policy())
        self._source = source
        self._now = now
        self._monotonic = monotonic
        self._random = random or Random()  # noqa: S311 - spreads callers, guards nothing
        self._lost_at: float | None = monotonic()
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def level(self) -> Level | None:
        """The level, or None before any was heard."""
        seen = self.level_view
        return seen.level if seen else None

    @property
    def level_view(self) -> LevelView | None:
        """The level with its version, cause and all else, or None before any was heard."""
        return self.view.level(self.scope, self._now())

    @property
    def follows(self) -> str | None:
        """The scope above whose level this is, or None where it is the scope's own or not known."""
        seen = self.level_view
        return seen.follows if seen else None

    @property
    def stale(self) -> bool:
        """Whether what is known may be out of date: the engine or the source is silent."""
        seen = self.level_view
        silent = self._lost_at is not None and self._monotonic() - self._lost_at > GRACE_S
        return seen is None or seen.stale or silent

    def feature(self, key: str) -> FeatureView:
        """Return a feature's state, why, and since when.

        Raises:
            UnknownFeatureError: neither the policy nor the level names it.
        """
        try:
            return self.view.feature(self.scope, key, self._now())
        except KeyError as error:
            raise UnknownFeatureError(f"neither the policy nor the level names a feature {key!r}") from error

    def state(self, key: str) -> FeatureState:
        """Return whether a feature is ENABLED, in FALLBACK or DISABLED.

        Raises:
            UnknownFeatureError: neither the policy nor the level names it.
        """
        return self.feature(key).state

    def is_enabled(self, key: str) -> bool:
        """Say whether a feature answers at all; FALLBACK does, in a reduced way.

        Raises:
            UnknownFeatureError: neither the policy nor the level names it.
        """
        return self.state(key).on

    def retry_after_s(self) -> int:
        """Draw the whole seconds that a refused caller should wait, 1 to 300, from the predicted recovery."""
        seen = self.level_view
        return retry_after_s(seen.state.recovery if seen else None, self._random)

    async def changed(self) -> None:
        """Return after the next word from the source."""
        self._changed.clear()
        await self._changed.wait()

    async def known(self) -> LevelView:
        """Return the level, once one was heard."""
        while True:
            seen = self.level_view
            if seen is not None:
                return seen
            await self.changed()

    def heard(self) -> None:
        """Note that the source is in touch; what it said is in the view."""
        self._lost_at = None
        self._changed.set()

    def lost(self) -> None:
        """Note that the source is out of touch; after five seconds that makes the feed stale."""
        if self._lost_at is None:
            self._lost_at = self._monotonic()

    async def __aenter__(self) -> Self:
        """Begin to follow."""
        self._task = asyncio.create_task(self._source.run(self), name="level feed")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop following; what is known stays."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        self.lost()

    @asynccontextmanager
    async def lifespan(self, _app: object) -> AsyncIterator[None]:
        """Follow while an application runs: `FastAPI(lifespan=feed.lifespan)`."""
        async with self:
            yield
