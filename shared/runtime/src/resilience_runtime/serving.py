"""uvicorn inside our own lifecycle: a task like the others, stopped by cancelling it."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
import sys
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import uvicorn

from .errors import StartupError
from .http_intake import Intake
from .http_protocol import Entrance, PromptProtocol

GRACE_S = 4
BACKLOG = 2048
UNREAD_S = 30.0
KEEP_ALIVE_S = 75
"""Longer than load balancers (60 s) and clients' pools keep an idle connection: the side that closes first must be the
one that sends, or a request meets a connection that is being closed and gets no answer."""


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield  # signals belong to the lifecycle


async def serve(
    app: Callable[..., Any],
    host: str,
    port: int,
    *,
    variable: str = "PORT",
    on_bound: Callable[[int], None] | None = None,
    entrance: Entrance | None = None,
) -> None:
    """Serve an ASGI application until cancelled, then finish what is in flight within four seconds.

    Args:
        app: what answers.
        host: address to listen on.
        port: 0 takes any free one.
        variable: the setting to name when the port is taken.
        on_bound: is told the port, once it listens.
        entrance: may refuse a request before the application is asked.

    Raises:
        StartupError: the address cannot be bound.
    """
    listener = _bind(host, port, variable)
    config = uvicorn.Config(
        app,
        http=partial(PromptProtocol, entrance=entrance, intake=Intake()),  # type: ignore[arg-type] # it is called as a class would be
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=GRACE_S,
    )
    server = _Server(config)
    serving = asyncio.create_task(_serve(server, listener), name=f"http {variable}")
    try:
        if on_bound:
            on_bound(listener.getsockname()[1])
        await asyncio.shield(serving)
    except asyncio.CancelledError:
        server.should_exit = True
        await serving
        raise
    finally:
        listener.close()


async def _serve(server: uvicorn.Server, listener: socket.socket) -> None:
    try:
        await server.serve(sockets=[listener])
    except SystemExit as error:  # uvicorn's answer to a lifespan that failed; it has logged why
        raise RuntimeError("the application did not start") from error


def _bind(host: str, port: int, variable: str) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(
        family, socket.SOCK_STREAM, socket.IPPROTO_TCP
    )  # asyncio sets TCP_NODELAY by this
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if sys.platform == "linux":
        # Accepted sockets inherit it. A peer that does not read would otherwise keep what was sent to it for ever.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(UNREAD_S * 1000))
    try:
        listener.bind((host, port))
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        why = "is taken" if error.errno == errno.EADDRINUSE else f"cannot be bound ({error.strerror})"
        raise StartupError(f"{variable}={port} on {host} {why}: set {variable} to a free port") from error
    listener.setblocking(False)  # noqa: FBT003 - the standard library's signature
    return listener
