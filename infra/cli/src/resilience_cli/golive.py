"""Judges the points of a checklist: what a machine can see is looked at, what it cannot is attested by a link."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from resilience_contracts import Level

from .errors import StackError


class Checklist(StrEnum):
    """Which checklist; each is a page of docs/runbooks."""

    GO_LIVE = "go-live"
    DEPLOYMENT = "deployment"


class Verdict(StrEnum):
    """How a point is."""

    PASSED = "PASS"
    FAILED = "FAIL"
    MANUAL = "MANUAL"
    """A person has to see it, and nobody has attested that yet."""
    ATTESTED = "ATTESTED"

    @property
    def fine(self) -> bool:
        """Whether nothing is left to do."""
        return self in {self.PASSED, self.ATTESTED}


class NotSoError(Exception):
    """What a point says is not so; the message says what was seen."""


class System(Protocol):
    """What is looked at. Each method may block for some 20 s; any may raise StackError when nothing answers."""

    places: Mapping[str, str]
    """Addresses that evidence names: inventory, flags, prometheus, policy."""

    def encrypted(self) -> bool:
        """Whether Kafka is reached by TLS, and asks who comes."""

    def rights_that_differ(self) -> list[str]:
        """Return permissions in Kafka that differ from the declared ones."""

    def topics_that_differ(self) -> list[str]:
        """Return what differs from the declared topics."""

    def copies(self) -> Mapping[str, int]:
        """Return for each declared topic on how many brokers its scarcest partition is."""

    def replicas(self) -> Mapping[str, int]:
        """Return how many processes of each service take turns."""

    def not_ready(self) -> list[str]:
        """Return services that are not ready, with the reason."""

    def level(self) -> tuple[Level | None, bool]:
        """Return the level, if one is known, and whether it is stale."""

    def holds(self) -> list[str]:
        """Return what is held."""

    def dead_letters(self) -> list[str]:
        """Return letters of the last day that were not sent again."""

    def audit_faults(self) -> list[str]:
        """Return what was changed, dropped or moved in the audit log."""

    def contradictions(self) -> Mapping[str, float]:
        """Return what the audits of stock find, by audit."""

    def policy_differs(self) -> bool:
        """Say whether a policy is in force beside the checked one; StackError when the file is none."""

    def open_doors(self) -> list[str]:
        """Return what somebody without a key may do."""

    def smoke_failures(self) -> list[str]:
        """Return what `resilience smoke` finds."""

    def missing_alerts(self) -> list[str]:
        """Return declared alerts that Prometheus does not evaluate."""

    def alertmanagers(self) -> list[str]:
        """Return where Prometheus sends alerts."""

    def not_scraped(self) -> list[str]:
        """Return services whose metrics Prometheus does not get."""


@dataclass(frozen=True, slots=True)
class Point:
    """One point of a checklist.

    Attributes:
        name: what `--attest` calls it.
        text: what is to be so, in the words of the runbook.
        evidence: where anybody sees it: an address, a topic, a file, a command.
        remedy: what helps when it is not so.
        look: says what was seen, or raises NotSoError; None where a person has to look.
    """

    name: str
    text: str
    evidence: str
    remedy: str
    look: Callable[[System], str] | None = None


@dataclass(frozen=True, slots=True)
class Judged:
    """How a point was found."""

    point: Point
    verdict: Verdict
    detail: str
    evidence: str
    remedy: str


def judge(points: Iterable[Point], system: System, attested: Mapping[str, str]) -> Iterator[Judged]:
    """Look at each point; give each as soon as it is known.

    Args:
        points: of one checklist.
        system: what runs.
        attested: links by the name of a manual point (see `attestations`).
    """
    for point in points:
        where = point.evidence.format_map(system.places)
        if point.look is not None:
            yield _looked(point, point.look, system, where)
        elif link := attested.get(point.name):
            yield Judged(point, Verdict.ATTESTED, "attested", link, "")
        else:
            yield Judged(point, Verdict.MANUAL, "nobody has attested it", where, point.remedy)


def _looked(point: Point, look: Callable[[System], str], system: System, where: str) -> Judged:
    try:
        return Judged(point, Verdict.PASSED, look(system), where, "")
    except NotSoError as seen:
        return Judged(point, Verdict.FAILED, str(seen), where, point.remedy)
    except StackError as error:
        return Judged(point, Verdict.FAILED, error.message, where, error.remedy)


def attestations(texts: Iterable[str], points: Iterable[Point]) -> dict[str, str]:
    """Read `POINT=LINK` of each text; LINK is an http(s) address or a file that is there.

    Raises:
        ValueError: one is no such thing, or its point is none that a person attests; says which are.
    """
    manual = [point.name for point in points if point.look is None]
    found: dict[str, str] = {}
    for text in texts:
        name, _, link = text.partition("=")
        if name not in manual:
            raise ValueError(f"{name!r} is no point to attest; those are {', '.join(manual)}")
        if name in found:
            raise ValueError(f"{name} is attested twice")
        if not _leads_somewhere(link):
            raise ValueError(f"{name}={link!r}: the evidence is an http(s) address or a file that is there")
        found[name] = link
    return found


def _leads_somewhere(link: str) -> bool:
    try:
        parts = urlsplit(link)
        if parts.scheme in {"http", "https"}:
            return bool(parts.hostname) and link.isprintable() and " " not in link
        return bool(link) and link.isprintable() and Path(link).is_file()
    except (ValueError, OSError):
        return False
