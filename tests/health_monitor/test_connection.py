from __future__ import annotations

import socket

import pytest

from health_monitor.adapters.connection import no_connection
from resilience_contracts import Outcome


def caused(outer: Exception, inner: Exception) -> Exception:
    outer.__cause__ = inner
    return outer


@pytest.mark.parametrize(
    ("error", "outcome", "detail"),
    [
        (ConnectionRefusedError(), Outcome.REFUSED, "ConnectionRefusedError"),
        (ConnectionResetError(), Outcome.REFUSED, "ConnectionResetError"),
        (socket.gaierror(), Outcome.REFUSED, "gaierror"),
        (TimeoutError(), Outcome.TIMEOUT, "TimeoutError"),
        (caused(RuntimeError(), ConnectionRefusedError()), Outcome.REFUSED, "ConnectionRefusedError"),
        (caused(RuntimeError(), TimeoutError()), Outcome.TIMEOUT, "RuntimeError"),
        (RuntimeError("sk-do-not-tell"), Outcome.REFUSED, "RuntimeError"),
    ],
)
def test_the_root_of_a_failed_connection_decides(error: Exception, outcome: Outcome, detail: str) -> None:
    found = no_connection(error)

    assert (found.outcome, found.detail) == (outcome, detail)
