"""What the actions and probes of one experiment share.

Chaos Toolkit calls functions by their names and passes them nothing but values, so what is under way lives here, one
session for each stack at a time.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from resilience_cli.errors import StackError
from resilience_contracts import Policy, default_policy, parse_policy

from .faults import KINDS, Site
from .promises import broken, is_in_doubt, miscounted
from .record import Record
from .shop import Goods
from .watch import CONSUMERS, Watch, code_of

POLL_S = 0.05
DECIDED_S = 40.0
NOT_YET = frozenset({"feature_disabled", "idempotency_key_in_flight"})
"""Codes of answers that say nothing of what became of a write."""
_sessions: dict[Path, Session] = {}
_lock = threading.Lock()


class NotSeenError(Exception):
    """What should have followed did not; the message says what."""


@dataclass(slots=True)
class Session:
    """One experiment under way."""

    site: Site
    policy: Policy
    goods: Goods = field(default_factory=Goods.new)
    watch: Watch | None = None
    mends: ExitStack = field(default_factory=ExitStack)
    verdict: list[str] | None = None
    failures: list[str] = field(default_factory=list)
    ended: bool = False
    _is_mended: bool = True

    @property
    def urls(self) -> dict[str, str]:
        """Where the consumers of the level answer."""
        return {name: f"http://127.0.0.1:{self.site.state.ports[name]}" for name in CONSUMERS}

    @property
    def record(self) -> Record:
        """What was seen so far.

        Raises:
            StackError: nobody looks yet.
        """
        if self.watch is None:
            raise StackError("nobody looks yet", "put the action `observe` first into the method")
        return self.watch.record

    def client(self) -> httpx.Client:
        """Return a client of inventory-api."""
        return httpx.Client(base_url=self.urls["inventory-api"], timeout=10, trust_env=False)

    def note(self, kind: str, text: str) -> None:
        """Keep a moment, if anybody looks."""
        if self.watch:
            self.watch.note(kind, text)

    def fail(self, text: str) -> NotSeenError:
        """Keep what did not happen, and return it as an error to raise."""
        self.failures.append(text)
        self.note("broken", text)
        return NotSeenError(text)

    def observe(self, row: str) -> None:
        """Make the goods, and begin to look and to use."""
        with self.client() as client:
            self.goods.seed(client)
        self.watch = Watch(self.urls, self.goods, Record(row))
        self.watch.start()
        self.await_true(lambda: all(map(self.record.last, CONSUMERS)), 10)

    def inject(self, part: str, kind: str, options: dict[str, Any]) -> None:
        """Make a fault; it is mended with the others."""
        told = " ".join(f"{name}={value}" for name, value in options.items() if name != "text")
        self.record.faulted |= {part}
        self.note("fault", f"{part} {kind} {told}".strip())
        self._is_mended = False
        self.mends.callback(KINDS[kind].make(self.site, part, **options))

    def mend(self) -> None:
        """Take every fault away, the last first; return when every part answers."""
        mends, self.mends = self.mends, ExitStack()
        mends.close()
        if not self._is_mended:
            self.note("mended", "everything is mended")
        self._is_mended = True

    def judge(self) -> list[str]:
        """Stop, have every write decided, count, and return what was not kept."""
        if self.watch is None:
            return []
        if self.verdict is None:
            self.watch.stop()
            with self.client() as client:
                self._decide(client)
                self._count(client)
            self.verdict = [*self.failures, *broken(self.record)]
        return self.verdict

    def end(self) -> None:
        """Leave nothing behind."""
        self.mend()
        if self.watch:
            self.watch.stop()
        self.ended = True

    def await_true(self, look: Callable[[], bool], timeout_s: float) -> bool:
        """Look again and again; return whether it came true in time."""
        end_s = time.monotonic() + timeout_s
        while time.monotonic() < end_s:
            if look():
                return True
            time.sleep(POLL_S)
        return look()

    def _decide(self, client: httpx.Client) -> None:
        """Send every write of which nobody knows again under its key, until an answer says what became of it."""
        end_s = time.monotonic() + DECIDED_S
        for call in self.record.calls:
            while is_in_doubt(call) and (not call.decided or httpx.codes.is_server_error(call.decided)):
                if time.monotonic() > end_s:
                    self.failures.append(f"a write of {call.kind} was not decided within {DECIDED_S:g} s")
                    return
                method, path, rest = self.goods.request(call.kind, call.key)
                try:
                    answer = client.request(method, path, **rest)
                except httpx.TransportError:
                    continue
                if code_of(answer) in NOT_YET:
                    time.sleep(POLL_S)
                    continue
                call.decided = answer.status_code

    def _count(self, client: httpx.Client) -> None:
        """Count until nothing is missing, as what was accepted for later comes with a delay."""

        def looks_right() -> bool:
            try:
                self.record.stock = self.goods.counted(client)
            except (httpx.HTTPError, KeyError, ValueError):
                return False
            return not miscounted(self.record)

        self.await_true(looks_right, 5 if self.failures else DECIDED_S / 2)
        if not self.record.stock:
            self.failures.append("the stock could not be counted")


def session(root: Path) -> Session:
    """Return the session of a stack; begin one where there is none.

    Raises:
        StackError: no stack runs there, or its policy cannot be read.
    """
    with _lock:
        if root not in _sessions or _sessions[root].ended:
            site = Site.at(root)
            _sessions[root] = Session(site, policy_of(site))
        return _sessions[root]


def take_session(root: Path) -> Session | None:
    """Forget the session of a stack and return it."""
    with _lock:
        return _sessions.pop(root, None)


def policy_of(site: Site) -> Policy:
    """Return the policy that the services of a stack run on."""
    path = site.state.env.get("RESILIENCE_POLICY_FILE")
    return parse_policy(Path(path).read_text(encoding="utf-8")) if path else default_policy()
