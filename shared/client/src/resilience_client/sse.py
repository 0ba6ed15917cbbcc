"""A source over server-sent events: `GET /v1/stream` of the flag service.

httpx-sse reads the wire format; it leaves reconnecting and Last-Event-ID to its caller, which is done here.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Mapping
from random import Random
from typing import Any

import httpx
from httpx_sse import EventSource, ServerSentEvent, SSEError
from pydantic import BaseModel

from resilience_contracts import (
    Because,
    FeatureState,
    HoldSet,
    LevelState,
    hold_key,
    is_beneath,
    lineage,
)
from resilience_contracts.events import Time

from .feed import LevelFeed

SILENCE_S = 40.0
"""The service sends a comment every 15 s: a connection that brings nothing for longer than two is dead."""
CONNECT_S = 5.0
RETRY_S = (0.2, 30.0)

_log = logging.getLogger(__name__)


class SseSource:
    """Follows one flag service, or several behind one address.

    It resumes by Last-Event-ID and takes nothing older than what it has, whichever replica answers.

    Args:
        url: of the flag service, as `http://flags:9001`.
        headers: sent with each request.
    """

    def __init__(
        self, url: str, *, headers: Mapping[str, str] | None = None, random: Random | None = None
    ) -> None:
        self._url = url.rstrip("/") + "/v1/stream"
        self._headers = dict(headers or {})
        self._random = random or Random()  # noqa: S311 - spreads retries, guards nothing
        self._last_id = ""
        self._told_retry_s: float | None = None
        self._heard = 0

    async def run(self, feed: LevelFeed) -> None:
        """Follow for ever."""
        timeout = httpx.Timeout(CONNECT_S, read=SILENCE_S)
        failures = 0
        async with httpx.AsyncClient(timeout=timeout, headers=self._headers) as client:
            while True:
                heard = self._heard
                try:
                    await self._follow(client, feed)
                except (httpx.HTTPError, SSEError, ValueError, KeyError) as error:
                    _log.warning("level stream interrupted: %s", f"{type(error).__name__}: {error}"[:300])
                failures = 0 if self._heard > heard else failures + 1
                feed.lost()
                await asyncio.sleep(self._wait_s(failures))

    async def _follow(self, client: httpx.AsyncClient, feed: LevelFeed) -> None:
        headers = {"Last-Event-ID": self._last_id} if self._last_id else {}
        async with client.stream("GET", self._url, params={"scope": feed.scope}, headers=headers) as answer:
            answer.raise_for_status()
            feed.heard()
            async for event in EventSource(answer).aiter_sse():
                if event.data:  # httpx-sse makes an event of each comment too, once one had an id
                    self._take(event, feed)
                else:
                    feed.heard()

    def _take(self, event: ServerSentEvent, feed: LevelFeed) -> None:
        if event.retry:
            self._told_retry_s = event.retry / 1000
        resume_at, self._last_id = self._last_id, ""
        apply(event.event, json.loads(event.data), feed)
        # Only what was applied counts as seen; after what was not, everything is asked for anew.
        self._last_id = event.id or resume_at
        self._heard += 1
        feed.heard()

    def _wait_s(self, failures: int) -> float:
        first, most = RETRY_S
        if failures == 0 and self._told_retry_s is not None:
            return self._told_retry_s
        return self._random.uniform(0.5, 1) * min(most, first * 2.0**failures)


class _Feature(BaseModel):
    key: str
    state: FeatureState
    because: Because
    detail: str
    since: Time | None
    automatic: FeatureState


class _Scope(BaseModel):
    scope: str
    level: dict[str, Any] | None
    features: tuple[_Feature, ...]
    holds: tuple[HoldSet, ...]


def apply(kind: str, data: dict[str, Any], feed: LevelFeed) -> None:
    """Take one event of the stream; kinds that are not known are passed over.

    Raises:
        ValueError, KeyError: it is not what the flag service sends.
    """
    if kind == "snapshot":
        for scope in data["scopes"]:
            _apply_scope(_Scope.model_validate(scope), feed)
    elif kind == "state":
        _apply_scope(_Scope.model_validate(data), feed)
    elif kind == "heartbeat":
        _apply_heartbeat(data["level"], feed)


def _apply_scope(scope: _Scope, feed: LevelFeed) -> None:
    if scope.scope not in lineage(feed.scope):
        return
    if scope.level is not None:
        state = _state(scope.level, _automatic(scope))
        if _is_behind(state, feed):
            return  # a replica that is behind; its holds are as old
        feed.view.apply_level(state)
    named = {hold.key for hold in scope.holds}
    targets = {*feed.view.policy.features, *(feature.key for feature in scope.features)}
    for key in (hold_key(place, target) for place in lineage(feed.scope) for target in targets):
        if key not in named:
            feed.view.end_hold(key)
    for hold in scope.holds:
        feed.view.apply_hold(hold)


def _is_behind(state: LevelState, feed: LevelFeed) -> bool:
    """Say whether a state is older than what is known, or of a scope above one whose own level is known."""
    held = feed.view.state(feed.scope)
    if held is None:
        return False
    if held.scope == state.scope:
        return state.version.ordered() < held.version.ordered()
    return is_beneath(held.scope, state.scope)


def _apply_heartbeat(level: dict[str, Any], feed: LevelFeed) -> None:
    held = feed.view.state(feed.scope)
    if held is None:
        return
    automatic = {key: feature.model_dump() for key, feature in held.features.items()}
    state = _state(level, automatic)
    if (state.scope, state.version) == (held.scope, held.version):
        feed.view.apply_level(state)


def _automatic(scope: _Scope) -> dict[str, dict[str, Any]]:
    level_since = (scope.level or {}).get("since")
    found = {}
    for feature in scope.features:
        held = feature.because is Because.HOLD
        found[feature.key] = {
            "state": feature.automatic,
            "because": Because.LEVEL if held else feature.because,
            "detail": "by automation" if held else feature.detail,
            "since": level_since if held or feature.since is None else feature.since,
        }
    return found


def _state(level: dict[str, Any], features: dict[str, dict[str, Any]]) -> LevelState:
    epoch, _, counter = str(level["version"]).partition(".")
    version = {"epoch": int(epoch), "counter": int(counter)}
    ours = {"scope": level.get("follows") or level["scope"], "version": version, "features": features}
    return LevelState.model_validate({**level, **ours})
