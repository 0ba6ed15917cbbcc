"""The two features that this service itself carries out: webhooks and live updates."""

from __future__ import annotations

from datetime import timedelta

from resilience_contracts import Because, FeatureState, FeatureView
from resilience_delivery.message import Message

from .picture import Picture
from .subscription import Topical

WEBHOOKS = "integrations.webhooks"
LIVE_UPDATES = "performance.live_updates"
FIGURES_EVERY = {
    FeatureState.ENABLED: timedelta(0),
    FeatureState.FALLBACK: timedelta(seconds=5),
    FeatureState.DISABLED: timedelta(seconds=30),
}
"""How often fresher figures are sent, of one scope. Even DISABLED leaves what says that the engine lives."""


def keeps(picture: Picture, message: Message) -> FeatureView | None:
    """Return the feature that keeps a message for later, or None when it may be sent.

    While automation keeps webhooks back, the level itself is still told: without it no subscriber would know why
    nothing else comes. An operator's hold keeps back everything.
    """
    feature = _feature(picture, WEBHOOKS)
    if feature is None or feature.state is FeatureState.ENABLED:
        return None
    told_anyway = message.about == Topical.LEVEL and feature.because is not Because.HOLD
    return None if told_anyway else feature


def figures_every(picture: Picture) -> timedelta:
    """Return the time that has to pass between two sendings of fresher figures."""
    feature = _feature(picture, LIVE_UPDATES)
    return FIGURES_EVERY[feature.state] if feature else timedelta(0)


def _feature(picture: Picture, key: str) -> FeatureView | None:
    return next((feature for feature in picture.features if feature.key == key), None)
