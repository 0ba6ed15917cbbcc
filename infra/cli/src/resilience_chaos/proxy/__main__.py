"""`python -m resilience_chaos.proxy --control PORT LINK=PORT:UPSTREAM…`: the links, and where they take orders."""

from __future__ import annotations

import argparse
import asyncio
import random
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import uvicorn

from .control import create_app
from .link import Certificates, Link


def links_of(words: Sequence[str], tls: Mapping[str, Path], rng: random.Random) -> list[Link]:
    """Read links from NAME=PORT:UPSTREAM; those named in `tls` speak it, with the certificates of that folder.

    Raises:
        ValueError: a word is none.
    """
    links = []
    for word in words:
        name, _, ports = word.partition("=")
        port, upstream = map(int, ports.split(":"))
        certificates = Certificates(tls[name]) if name in tls else None
        links.append(Link(name, port, upstream, rng, certificates))
    return links


async def serve(control: int, links: Sequence[Link]) -> None:
    """Serve until a signal."""
    async with AsyncExitStack() as open_links:
        for link in links:
            await open_links.enter_async_context(link)
        app = create_app({link.name: link for link in links})
        settings = uvicorn.Config(app, "127.0.0.1", control, log_level="warning", timeout_graceful_shutdown=1)
        await uvicorn.Server(settings).serve()


def main() -> None:
    """Read the command line and serve."""
    parser = argparse.ArgumentParser(prog="resilience_chaos.proxy")
    parser.add_argument("--control", type=int, required=True)
    parser.add_argument("--tls", action="append", default=[], metavar="LINK=FOLDER")
    parser.add_argument("links", nargs="+")
    given = parser.parse_args()
    tls = {name: Path(folder) for name, _, folder in (word.partition("=") for word in given.tls)}
    asyncio.run(serve(given.control, links_of(given.links, tls, random.Random())))  # noqa: S311 - jitter


if __name__ == "__main__":
    main()
