"""Many clients of one event stream, in a process of their own: plain sockets on one epoll, so that they cost little.

    python tests/bench/stream_crowd.py PORT PATH CLIENTS SILENT

Prints `{}` once all are open. For each line on standard input, a text to wait for, it prints one line of JSON: for
each client the second, on the machine's monotonic clock, at which the text had arrived, the bytes read since the
line before, and how many clients were cut off. Those that are silent open a stream and never read.
"""

from __future__ import annotations

import json
import select
import socket
import sys
import time
from collections.abc import Callable

PATIENCE_S = 60.0
AT_ONCE = 100
READ_BYTES = 65_536
SMALL_BUFFER = 2_048


class Crowd:
    """Clients, and when each had the text that is waited for."""

    def __init__(self, port: int, path: str) -> None:
        self._address = ("127.0.0.1", port)
        self._request = f"GET {path} HTTP/1.1\r\nHost: bench\r\n\r\n".encode()
        self._poll = select.epoll()
        self._clients: dict[int, socket.socket] = {}
        self._silent: list[socket.socket] = []
        self._wanted = b""
        self._tails: dict[int, bytes] = {}
        self._open: set[int] = set()
        self._arrived: dict[int, float] = {}
        self._bytes = 0

    def gather(self, count: int) -> None:
        """Open so many streams, a hundred at a time."""
        for start in range(0, count, AT_ONCE):
            for _ in range(min(AT_ONCE, count - start)):
                client = self._connect()
                client.setblocking(False)  # noqa: FBT003 - the standard library's signature
                self._clients[client.fileno()] = client
                self._poll.register(client, select.EPOLLIN)
            self._until(lambda: len(self._open) == len(self._clients))

    def add_silent(self, count: int) -> None:
        """Open streams that nobody reads."""
        self._silent = [self._connect(small=True) for _ in range(count)]

    def wait_for(self, text: str) -> dict[str, object]:
        """Read until every client had a text."""
        self._wanted, self._arrived, self._tails, before = text.encode(), {}, {}, self._bytes
        self._until(lambda: len(self._arrived) >= len(self._clients))
        arrived, self._wanted = list(self._arrived.values()), b""
        return {
            "arrived": arrived,
            "bytes": self._bytes - before,
            "lost": len(self._open) - len(self._clients),
        }

    def _connect(self, *, small: bool = False) -> socket.socket:
        client = socket.socket()
        if small:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_BUFFER)
        client.connect(self._address)
        client.sendall(self._request)
        return client

    def _until(self, condition: Callable[[], bool]) -> None:
        end = time.monotonic() + PATIENCE_S
        while not condition():
            for number, _ in self._poll.poll(0.1):
                self._read(number)
            if time.monotonic() > end:
                raise TimeoutError(f"{len(self._arrived)} of {len(self._clients)} clients had it")

    def _read(self, number: int) -> None:
        data = self._clients[number].recv(READ_BYTES)
        if not data:
            self._clients.pop(number).close()
            return
        self._open.add(number)
        self._bytes += len(data)
        if self._wanted and number not in self._arrived:
            seen = self._tails.pop(number, b"") + data
            if self._wanted in seen:
                self._arrived[number] = time.monotonic()
            else:
                self._tails[number] = seen[-len(self._wanted) :]


def main() -> None:
    """Gather the crowd, then answer line after line."""
    port, path, clients, silent = int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    crowd = Crowd(port, path)
    crowd.add_silent(silent)
    crowd.gather(clients)
    print("{}", flush=True)
    for line in sys.stdin:
        print(json.dumps(crowd.wait_for(line.rstrip("\n"))), flush=True)


if __name__ == "__main__":
    main()
