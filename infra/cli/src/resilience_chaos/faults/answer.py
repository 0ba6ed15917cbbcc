"""Faults of what answers: statuses of OpenAI, and the network's by the proxy."""

from __future__ import annotations

from functools import partial
from http import HTTPStatus
from typing import Any

from resilience_chaos.proxy import Kind as Network

from .site import Mend, Site

BODY = "<Error><Code>{code}</Code><Message>Told so by an experiment.</Message></Error>"
CODES = {
    401: "InvalidAccessKeyId",
    403: "AccessDenied",
    429: "SlowDown",
    500: "InternalError",
    503: "SlowDown",
}


def openai(site: Site, part: str, **order: Any) -> Mend:
    """Give the stand-in an order."""
    assert part == "openai"  # noqa: S101 - the table was checked
    site.order_openai(order)
    return lambda: site.order_openai(None)


def status(site: Site, part: str, **order: Any) -> Mend:
    """Answer each request with a status: OpenAI's stand-in by itself, S3 through the proxy."""
    if part == "openai":
        return openai(site, part, **order)
    return network(Network.SAY, site, part, text=http(int(order["status"])))


def http(code: int) -> str:
    """Return S3's answer of that status, as it goes over the wire."""
    body = BODY.format(code=CODES.get(code, "InternalError"))
    head = f"HTTP/1.1 {code} {HTTPStatus(code).phrase}\r\nContent-Type: application/xml\r\n"
    return f"{head}Content-Length: {len(body)}\r\nConnection: close\r\n\r\n{body}"


def network(kind: Network, site: Site, part: str, **order: Any) -> Mend:
    """Order a link of the proxy; a part of the name `kafka:SERVICE` is that service's way to Kafka."""
    links = [part]
    if part == "kafka":
        links = [name.removeprefix("link ") for name in site.state.ports if name.startswith("link kafka:")]
    for link in links:
        site.order_link(link, {"kind": kind.value, **order})
    return partial(_mend_links, site, links)


def _mend_links(site: Site, links: list[str]) -> None:
    for link in links:
        site.order_link(link, None)
