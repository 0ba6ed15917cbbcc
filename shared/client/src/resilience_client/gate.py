"""Routes that follow a feature: served while it is on, else refused with problem+json. Extra `fastapi`."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from fastapi import Depends, FastAPI, Request
from fastapi.responses import JSONResponse

from resilience_contracts import FeatureView, format_time

from .errors import FeatureRefusedError
from .feed import LevelFeed

MEDIA_TYPE = "application/problem+json"
TYPE = "tag:retail-resilience.invalid,2026:problems/feature_disabled"


class FeatureGate:
    """Gives routes their dependency, and the application the answer to a refusal.

    `gate("analytics.reports")` goes into a route's `dependencies`, or as the default of a parameter of type
    `FeatureView` where the route does something else in FALLBACK.

    Args:
        app: gets a handler for `FeatureRefusedError`: 503 with Retry-After, as problem+json.
        feed: what is asked.
    """

    def __init__(self, app: FastAPI, feed: LevelFeed) -> None:
        self._feed = feed
        app.add_exception_handler(FeatureRefusedError, _refused)

    def __call__(self, key: str) -> Any:
        """Return the dependency of one feature.

        Raises:
            UnknownFeatureError: neither the policy nor the level names it.
        """
        self._feed.feature(key)

        async def admit() -> FeatureView:
            feature = self._feed.feature(key)
            if not feature.state.on:
                raise FeatureRefusedError(feature, self._feed.retry_after_s())
            return feature

        return Depends(admit)


async def _refused(request: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, FeatureRefusedError):
        raise error
    feature = error.feature
    body = {
        "type": TYPE,
        "title": "Feature disabled",
        "status": 503,
        "detail": str(error),
        "code": error.code,
        "instance": quote(request.url.path, safe="/:"),
        "feature": feature.key,
        "state": feature.state.value,
        "because": feature.because.value,
        "since": format_time(feature.since) if feature.since else None,
    }
    headers = {"Retry-After": str(error.retry_after_s)}
    return JSONResponse(body, 503, headers, MEDIA_TYPE)
