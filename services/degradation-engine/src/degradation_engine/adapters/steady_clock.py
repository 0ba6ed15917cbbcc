"""The date and time of this machine, without what somebody set wrongly while the engine runs.

A scope's own clock only goes forward: an hour too far once, and everything that is heard is an hour old for an hour.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from resilience_runtime.clock import Clock

SLACK = timedelta(seconds=1)
"""Clocks are trimmed by less than this without being set."""


class SteadyClock:
    """Goes on by the monotonic clock when the machine's is set; which of both is right, the log's time tells."""

    def __init__(self, machine: Clock) -> None:
        self._machine = machine
        self._began, self._began_s = machine.now(), machine.monotonic()

    def now(self) -> datetime:
        """Return the date and time, aware, in UTC."""
        machine, steady = self._machine.now(), self._steady()
        if abs(machine - steady) > SLACK:
            return steady
        self._follow(machine)
        return machine

    def monotonic(self) -> float:
        """Return seconds from an arbitrary start. Never goes back."""
        return self._machine.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Return after so many seconds of `monotonic`."""
        await self._machine.sleep(seconds)

    def heard(self, stored: datetime) -> None:
        """Take the machine's time again when a record was stored nearer to it: it was set right, or had slept."""
        machine, steady = self._machine.now(), self._steady()
        if abs(machine - stored) < abs(steady - stored):
            self._follow(machine)

    def _steady(self) -> datetime:
        return self._began + timedelta(seconds=self._machine.monotonic() - self._began_s)

    def _follow(self, machine: datetime) -> None:
        self._began, self._began_s = machine, self._machine.monotonic()
