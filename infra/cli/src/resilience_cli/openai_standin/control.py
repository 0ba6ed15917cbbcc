"""What the stand-in was told to do to its callers."""

from __future__ import annotations

import random

from pydantic import BaseModel, ConfigDict, Field


class Control(BaseModel):
    """Orders, all of them off by default.

    `status` is answered to the share `fail_ratio` of the calls, with `retry_after_s` if it is given;
    `malformed` breaks the JSON of the answers that would have succeeded.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    latency_ms: int = Field(default=0, ge=0, le=600_000)
    status: int | None = Field(default=None, ge=400, le=599)
    retry_after_s: float | None = Field(default=None, ge=0)
    fail_ratio: float = Field(default=1, ge=0, le=1)
    malformed: bool = False

    def refuses(self, chance: random.Random) -> bool:
        """Draw whether this call is refused."""
        return self.status is not None and chance.random() < self.fail_ratio
