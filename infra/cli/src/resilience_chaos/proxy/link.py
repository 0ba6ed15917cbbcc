"""One way through the proxy: a port, what it leads to, and what happens to the traffic.

Toxiproxy does the same and is a program in Go, which no Python installation brings; its Python packages are clients.
"""

from __future__ import annotations

import asyncio
import random
import socket
import ssl
import struct
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from .order import Kind, Order

CHUNK_BYTES = 65_536
SLICES_A_SECOND = 10
HARD = struct.pack("ii", 1, 0)
GARBLED = bytes(range(128, 256))
SWALLOWING = frozenset({Kind.BLACKHOLE, Kind.HALF_OPEN})


class Certificates:
    """What a link that speaks TLS shows: `valid.pem` or `expired.pem` of a folder, each with its key."""

    def __init__(self, folder: Path) -> None:
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._folder = folder
        self.show(expired=False)

    def show(self, *, expired: bool) -> None:
        """Choose for every handshake from now on."""
        self.context.load_cert_chain(self._folder / ("expired.pem" if expired else "valid.pem"))


class _CutError(Exception):
    """The connection is to be reset."""


@dataclass(eq=False, slots=True)
class _Connection:
    """A client, and what it talks to."""

    client: asyncio.StreamWriter
    server: asyncio.StreamWriter | None = None
    doomed: bool = False
    """It was open when a half-open fault began, or lost bytes: nothing good can come of it."""
    answered_bytes: int = 0
    tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def reset(self) -> None:
        """End it with RST on both sides."""
        for writer in (self.client, self.server):
            if writer is None:
                continue
            with suppress(OSError):
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, HARD)
            writer.transport.abort()
        for task in self.tasks:
            task.cancel()


class Link:
    """Listens on a port of loopback and passes everything on to another, until it is ordered otherwise."""

    def __init__(
        self, name: str, port: int, upstream: int, rng: random.Random, tls: Certificates | None = None
    ) -> None:
        self.name, self.port, self.upstream = name, port, upstream
        self._tls = tls
        self.order: Order | None = None
        self._rng = rng
        self._ordered_s = 0.0
        self._open: set[_Connection] = set()
        self._server: asyncio.Server | None = None
        self._beat: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(
            self._accept, "127.0.0.1", self.port, ssl=self._tls.context if self._tls else None
        )
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self.obey(None)
        if self._server:
            self._server.close()
        for connection in set(self._open):
            connection.reset()
        await asyncio.sleep(0)

    @property
    def connections(self) -> int:
        """How many clients are connected."""
        return len(self._open)

    def obey(self, order: Order | None) -> None:
        """Do so from now on; None mends. What lost bytes, or leads nowhere, is reset when it is mended."""
        if self._beat:
            self._beat.cancel()
            self._beat = None
        self.order, self._ordered_s = order, time.monotonic()
        if order is None:
            self._mend()
        elif order.period_s is None:
            self._begin(order)
        else:
            self._beat = asyncio.get_running_loop().create_task(self._flap(order, order.period_s / 2))

    async def _flap(self, order: Order, half_s: float) -> None:
        while True:
            self._begin(order)
            await asyncio.sleep(half_s)
            self._mend()
            await asyncio.sleep(half_s)

    def _begin(self, order: Order) -> None:
        if self._tls and order.kind is Kind.EXPIRED:
            self._tls.show(expired=True)
        for connection in set(self._open):
            if order.kind in {Kind.RESET, Kind.EXPIRED}:
                connection.reset()
            elif order.kind is Kind.HALF_OPEN:
                connection.doomed = True

    def _mend(self) -> None:
        if self._tls:
            self._tls.show(expired=False)
        for connection in set(self._open):
            if connection.doomed or connection.server is None:
                connection.reset()

    def _now(self) -> tuple[Order | None, float]:
        """Return the order that is in force, and its age."""
        age_s = time.monotonic() - self._ordered_s
        return (self.order, age_s) if self.order and self.order.in_force(age_s) else (None, age_s)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = _Connection(writer)
        self._open.add(connection)
        task = asyncio.current_task()
        if task:
            connection.tasks.add(task)
        try:
            await self._serve(connection, reader)
        except (OSError, _CutError, ExceptionGroup):
            connection.reset()
        except asyncio.CancelledError:
            pass
        finally:
            self._open.discard(connection)
            for each in (connection.client, connection.server):
                if each:
                    each.close()

    async def _serve(self, connection: _Connection, reader: asyncio.StreamReader) -> None:
        order, _ = self._now()
        if order and order.kind is Kind.RESET:
            raise _CutError
        if order and order.kind is Kind.BLACKHOLE:
            while await reader.read(CHUNK_BYTES):
                connection.doomed = True
            return
        if order and order.kind is Kind.SAY:
            await reader.read(CHUNK_BYTES)
            connection.client.write(order.text.encode())
            await connection.client.drain()
            return
        answers, server = await asyncio.open_connection("127.0.0.1", self.upstream)
        connection.server = server
        async with asyncio.TaskGroup() as both:
            asking = both.create_task(self._ask(connection, reader))
            answering = both.create_task(self._answer(connection, answers))
            connection.tasks |= {asking, answering}

    async def _ask(self, connection: _Connection, reader: asyncio.StreamReader) -> None:
        server = connection.server
        assert server is not None  # noqa: S101 - it was connected one line before
        while data := await reader.read(CHUNK_BYTES):
            order, _ = self._now()
            if order and order.kind is Kind.SAY:
                connection.client.write(order.text.encode())
                await connection.client.drain()
                raise _CutError
            if self._is_swallowed(connection, order):
                continue
            server.write(data)
            await server.drain()
        await self._pass_on_end(connection, server)

    async def _answer(self, connection: _Connection, answers: asyncio.StreamReader) -> None:
        while data := await answers.read(CHUNK_BYTES):
            order, age_s = self._now()
            if self._is_swallowed(connection, order):
                continue
            await self._tell(connection, order, age_s, data)
        await self._pass_on_end(connection, connection.client)

    async def _tell(self, connection: _Connection, order: Order | None, age_s: float, data: bytes) -> None:
        client = connection.client
        if order and order.kind is Kind.LATENCY:
            await asyncio.sleep(order.delay_s(age_s, self._rng.random()))
        if order and order.kind is Kind.GARBLE:
            data = (GARBLED * (len(data) // len(GARBLED) + 1))[: len(data)]
        if order and order.kind is Kind.CUT:
            left = max(0, order.after_bytes - connection.answered_bytes)
            client.write(data[:left])
            connection.answered_bytes += len(data)
            if len(data) > left:
                await client.drain()
                raise _CutError
            return
        if order and order.bytes_per_s:
            await self._trickle(client, data, order.bytes_per_s)
            return
        client.write(data)
        await client.drain()

    async def _trickle(self, client: asyncio.StreamWriter, data: bytes, bytes_per_s: float) -> None:
        size = max(1, int(bytes_per_s / SLICES_A_SECOND))
        for begin in range(0, len(data), size):
            piece = data[begin : begin + size]
            client.write(piece)
            await client.drain()
            await asyncio.sleep(len(piece) / bytes_per_s)

    def _is_swallowed(self, connection: _Connection, order: Order | None) -> bool:
        if order and order.kind is Kind.BLACKHOLE:
            connection.doomed = True
        return connection.doomed

    async def _pass_on_end(self, connection: _Connection, writer: asyncio.StreamWriter) -> None:
        """Tell one side that the other has ended, unless nothing gets through; then it is never told."""
        order, _ = self._now()
        if order and order.kind in SWALLOWING and self._is_swallowed(connection, order):
            await asyncio.Event().wait()
        if writer.can_write_eof():
            writer.write_eof()
        else:
            writer.close()  # TLS knows no half of a connection
