"""Holds through flag-service's HTTP API, with the operator's key."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import httpx

from .errors import StackError
from .stack import Place
from .target import Target, stack_root

KEY_VARIABLE = "RESILIENCE_API_KEY"
TIMEOUT_S = 10.0

Hold = Mapping[str, Any]
"""A hold as flag-service shows it: scope, target, hold_id, version, state or level, reason, actor, expires_at."""


class HeldError(Exception):
    """Another hold is in force than the one counted on.

    Attributes:
        current: the hold in force; None when there is none any more.
        difference: field to `current` and `proposed`.
    """

    def __init__(self, current: Hold | None, difference: Mapping[str, Mapping[str, str | None]]) -> None:
        super().__init__("another hold is in force")
        self.current = current
        self.difference = difference


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a hold is to be: a state for a feature or flag, a level for `level`."""

    scope: str
    target: str
    pin: Mapping[str, str] = field(default_factory=dict)
    allow_better: bool = False

    def body(self) -> dict[str, Any]:
        """Return what preview and set have in common."""
        return {**self.pin, "allow_better": self.allow_better}


class HoldsApi:
    """Talks to flag-service; a context manager. Reads need no key."""

    def __init__(self, target: Target) -> None:
        self._client = httpx.Client(base_url=target.url("flag-service"), timeout=TIMEOUT_S, trust_env=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()

    def all(self, scope: str | None) -> list[Hold]:
        """Return every hold in force, of one scope or of all."""
        holds: list[Hold] = self._ask("GET", "/v1/holds", params={"scope": scope} if scope else {})["holds"]
        return holds

    def find(self, scope: str, target: str) -> Hold | None:
        """Return the hold in force on a target."""
        return next((hold for hold in self.all(scope) if hold["target"] == target), None)

    def preview(self, wanted: Wanted) -> dict[str, Any]:
        """Say what a hold would change; `effects` and the number of open `streams`."""
        body = wanted.body() | {"scope": wanted.scope, "target": wanted.target}
        return self._ask("POST", "/v1/holds:preview", json=body)

    def put(self, wanted: Wanted, reason: str, lasts: timedelta, replaces: str | None) -> Hold:
        """Set a hold, or edit the one that `replaces` names (see `tag_of`).

        Raises:
            HeldError: another one is in force.
            StackError: refused, or flag-service does not answer.
        """
        condition = {"If-Match": f'"{replaces}"'} if replaces else {"If-None-Match": "*"}
        body = wanted.body() | {"reason": reason, "expires_in_s": lasts.total_seconds()}
        return self._ask("PUT", _path(wanted.scope, wanted.target), json=body, headers=condition | _key())

    def end(self, hold: Hold, reason: str) -> None:
        """End a hold now.

        Raises:
            HeldError: it was changed meanwhile.
            StackError: refused, or flag-service does not answer.
        """
        headers = {"If-Match": f'"{tag_of(hold)}"'} | _key()
        self._ask("DELETE", _path(hold["scope"], hold["target"]), params={"reason": reason}, headers=headers)

    def _ask(self, method: str, path: str, **how: Any) -> dict[str, Any]:
        try:
            answer = self._client.request(method, path, **how)
        except httpx.HTTPError as error:
            raise StackError(
                f"flag-service at {self._client.base_url} does not answer ({type(error).__name__})",
                "start it, or look at `resilience status` and the console of another replica",
            ) from error
        content = _content(answer)
        if answer.status_code == httpx.codes.CONFLICT:
            raise HeldError(content.get("current"), content.get("difference") or {})
        if answer.is_error:
            raise StackError(
                f"flag-service refuses with {answer.status_code}: {_said(content)}", _remedy(answer)
            )
        return content


def _content(answer: httpx.Response) -> dict[str, Any]:
    if not answer.content:
        return {}
    try:
        content: object = answer.json()
    except ValueError:
        content = None
    if not isinstance(content, dict):
        raise StackError(
            f"{answer.url} answers {answer.status_code}, and not as a flag-service does",
            "look at what is at this address, and at proxies before it",
        )
    return content


def tag_of(hold: Hold) -> str:
    """Name a hold at one version, for `If-Match`."""
    return f"{hold['hold_id']}.{hold['version']}"


def _path(scope: str, target: str) -> str:
    return f"/v1/holds/{quote(scope, safe='')}/{quote(target, safe='')}"


def _key() -> dict[str, str]:
    given = os.environ.get(KEY_VARIABLE)
    if given:
        return {"X-API-Key": given}
    file = Place(stack_root()).secret("operator.key")
    try:
        return {"X-API-Key": file.read_text(encoding="ascii").strip()}
    except (OSError, UnicodeDecodeError) as error:
        raise StackError(
            f"no operator key: {KEY_VARIABLE} is not set and {file} cannot be read",
            f"set {KEY_VARIABLE} to a key with the scope `write` (`resilience keys create`)",
        ) from error


def _said(content: Mapping[str, Any]) -> str:
    return str(content.get("detail") or "it does not say why").rstrip(".")


def _remedy(answer: httpx.Response) -> str:
    match answer.status_code:
        case httpx.codes.UNAUTHORIZED | httpx.codes.FORBIDDEN:
            return f"set {KEY_VARIABLE} to a key with the scope `write`"
        case httpx.codes.SERVICE_UNAVAILABLE:
            return "look with `resilience hold list` whether it took effect, then try again"
    return "correct what it names and try again"
