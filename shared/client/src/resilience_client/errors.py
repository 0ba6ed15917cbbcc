"""Errors of the client; each class docstring is its default message."""

from __future__ import annotations

from resilience_contracts import FeatureView


class ClientError(Exception):
    """The client cannot do that."""

    code = "client_error"

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or (type(self).__doc__ or "").strip())


class UnknownFeatureError(ClientError):
    """Neither the policy nor the level names such a feature."""

    code = "unknown_feature"


class FeatureRefusedError(ClientError):
    """The feature is off."""

    code = "feature_disabled"

    def __init__(self, feature: FeatureView, retry_after_s: int) -> None:
        super().__init__(f"{feature.key} is {feature.state.value}: {feature.detail}")
        self.feature = feature
        self.retry_after_s = retry_after_s
