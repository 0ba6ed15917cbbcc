"""Backups again and again, in the foreground, for a supervisor to keep running."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol

from .backup import Proof
from .backup_folder import backups_in, name_at, newest, thin_out
from .errors import StackError

AGAIN_AFTER = timedelta(minutes=1)
"""A failed backup is tried again after this, or after its interval if that is shorter."""


class Teller(Protocol):
    """Hears how each backup went."""

    def made(self, proof: Proof, gone: list[Path]) -> None:
        """One was made and proved, and older ones were removed."""

    def failed(self, error: StackError, again_in: timedelta) -> None:
        """One could not be made, or older ones not removed."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """How often, where to, and what stays."""

    folder: Path
    every: timedelta
    hourly: int
    daily: int
    encrypted: bool


async def keep_backing_up(
    schedule: Schedule,
    back_up: Callable[[Path], Awaitable[Proof]],
    teller: Teller,
    *,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> None:
    """Make a backup whenever the newest proved one is as old as the interval, until cancelled.

    Whatever fails is told and tried again. Being started often makes no more backups.
    """
    while True:
        wait = _due_in(schedule, now())
        if wait <= timedelta(0):
            wait = await _make_one(schedule, back_up, teller, now)
        await sleep(min(wait, AGAIN_AFTER).total_seconds())  # the clock may have been set meanwhile


async def _make_one(
    schedule: Schedule,
    back_up: Callable[[Path], Awaitable[Proof]],
    teller: Teller,
    now: Callable[[], datetime],
) -> timedelta:
    """Make one and return when to look again."""
    try:
        schedule.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        proof = await back_up(schedule.folder / name_at(now(), encrypted=schedule.encrypted))
        teller.made(proof, thin_out(schedule.folder, schedule.hourly, schedule.daily, now()))
    except OSError as error:
        fault = StackError(f"{schedule.folder} cannot be made ({error.strerror})", "name another folder")
    except StackError as error:
        fault = error
    else:
        return max(_due_in(schedule, now()), timedelta(0))
    again_in = min(AGAIN_AFTER, schedule.every)
    teller.failed(fault, again_in)
    return again_in


def _due_in(schedule: Schedule, now: datetime) -> timedelta:
    """Return how long the newest proved backup is good for yet."""
    try:
        found = newest(backups_in(schedule.folder), now)
    except StackError:
        return timedelta(0)
    return found.made_at + schedule.every - now if found else timedelta(0)
