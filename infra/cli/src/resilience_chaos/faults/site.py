"""The running stack in which faults are made."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from resilience_cli.errors import StackError
from resilience_cli.stack import NotReadyError, StackState, running_state
from resilience_cli.stack.loopback_http import ask
from resilience_cli.stack.network import NETWORK

Mend = Callable[[], object]
"""Takes a fault away; returns when the part answers."""


@dataclass(frozen=True, slots=True)
class Site:
    """A stack by its directory and its state."""

    root: Path
    state: StackState

    @classmethod
    def at(cls, root: Path) -> Site:
        """Find the stack that runs in a directory.

        Raises:
            StackError: none does.
        """
        return cls(root, running_state(root))

    @property
    def has_proxies(self) -> bool:
        """Whether faults of the network can be made here."""
        return NETWORK in self.state.ports

    def order_link(self, link: str, order: dict[str, Any] | None) -> None:
        """Tell a link of the proxy what to do; None mends it.

        Raises:
            StackError: there is no proxy, or it refuses.
        """
        if not self.has_proxies:
            raise StackError(
                "this stack has no proxies, so its network cannot fail",
                "start it with `resilience up --proxies`",
            )
        self._order(self.state.ports[NETWORK], f"/links/{link}", order)

    def order_openai(self, order: dict[str, Any] | None) -> None:
        """Tell the stand-in for OpenAI what to do; None ends all orders."""
        self._order(self.state.ports["openai"], "/control", order)

    def _order(self, port: int, path: str, order: dict[str, Any] | None) -> None:
        method, body = ("DELETE", None) if order is None else ("PUT", json.dumps(order))
        try:
            answer = ask(port, path, method, body=body, headers={"Content-Type": "application/json"})
        except NotReadyError as error:
            raise StackError(f"port {port} takes no orders ({error})", "see `resilience doctor`") from error
        if answer.status // 100 != 2:  # noqa: PLR2004 - the class of success
            raise StackError(
                f"port {port} refuses the order {body} with HTTP {answer.status} ({answer.text[:200]})",
                "correct the options of the fault in the table",
            )
