"""Reads what the gate judges: the level from flag-service, requests and audits from inventory-api's metrics."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Self
from urllib.parse import urlsplit

import httpx
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from resilience_contracts import Level

from .errors import StackError
from .rollout_gate import Reading, Requests

TIMEOUT_S = 5.0
REQUESTS = "inventory_http_request_duration_seconds_count"
VIOLATIONS = "inventory_audit_violations"
FLAGS = "flag-service"


class Reader:
    """Looks at a running system; a context manager.

    Args:
        flags_url: where flag-service is.
        metrics_urls: where each replica of inventory-api exports its metrics.
        scope: whose level counts.
    """

    def __init__(self, flags_url: str, metrics_urls: Sequence[str], scope: str) -> None:
        self._level_url = f"{flags_url}/v1/levels/{scope}"
        self._metrics_urls = metrics_urls
        self._client = httpx.Client(timeout=TIMEOUT_S, trust_env=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def first(self) -> Reading:
        """Look for the first time.

        Raises:
            StackError: something does not answer: there is nothing to compare with.
        """
        reading = self.read()
        if reading.silent:
            raise StackError(
                f"{', '.join(sorted(reading.silent))} does not answer",
                "start the gate while the system runs, and name each replica with --metrics",
            )
        return reading

    def read(self) -> Reading:
        """Look once."""
        silent: set[str] = set()
        requests: dict[str, Requests] = {}
        violations: dict[str, float] = {}
        for url in self._metrics_urls:
            try:
                samples = list(_samples(self._get(url).text))
            except (httpx.HTTPError, ValueError):
                silent.add(url)
                continue
            requests[url] = _requests(samples)
            for one in samples:
                if one.name == VIOLATIONS:
                    audit = one.labels["audit"]
                    violations[audit] = max(one.value, violations.get(audit, 0.0))  # all audit one database
        try:
            told = self._get(self._level_url).json()
            level, stale = Level.from_rank(int(told["rank"])), bool(told["stale"])
        except (httpx.HTTPError, ValueError, KeyError, TypeError):
            return Reading(requests=requests, violations=violations, silent=frozenset({*silent, FLAGS}))
        return Reading(level, stale, requests, violations, frozenset(silent))

    def _get(self, url: str) -> httpx.Response:
        return self._client.get(url).raise_for_status()


def checked_url(text: str, option: str) -> str:
    """Return the address that an option gives.

    Raises:
        StackError: it is none.
    """
    try:
        parts = urlsplit(text)
        fine = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
        told = parts.username is not None
    except ValueError:
        fine = told = False
    if told:
        raise StackError(
            f"{option} names a user, and the address is printed as evidence",
            "give one that asks for no password, as a proxy on this machine",
        )
    if not fine:
        raise StackError(f"{option} {text!r} is no address", "write it as http://host:9100/path")
    return text


def _samples(text: str) -> Iterable[Sample]:
    return (sample for family in text_string_to_metric_families(text) for sample in family.samples)


def _requests(samples: Iterable[Sample]) -> Requests:
    counted = [(one.labels["status"], one.value) for one in samples if one.name == REQUESTS]
    failed = sum(value for status, value in counted if status.startswith("5"))
    return Requests(sum(value for _, value in counted), failed)
