"""What a link is told to do to its traffic."""

from __future__ import annotations

from enum import StrEnum
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


class Kind(StrEnum):
    """What a network does to connections."""

    LATENCY = "latency"
    """Every answer comes `delay_ms` later, and up to `jitter_ms` more; the delay grows by `growth_ms_per_s`."""
    BANDWIDTH = "bandwidth"
    """Answers come at `bytes_per_s`."""
    RESET = "reset"
    """Connections are reset (RST), those that are open and those that come."""
    BLACKHOLE = "blackhole"
    """Connections are accepted, and nothing that is sent arrives."""
    HALF_OPEN = "half-open"
    """Connections that are open lead nowhere and are never closed; new ones work."""
    CUT = "cut"
    """A connection is reset once `after_bytes` of answers went through it."""
    GARBLE = "garble"
    """Answers have their length and wrong bytes."""
    EXPIRED = "expired"
    """Whoever connects is shown a certificate that was valid until yesterday; open connections are reset."""
    SAY = "say"
    """Whatever is asked, `text` is the answer, and the connection ends."""


class Order(BaseModel):
    """One fault of a link. With `period_s` it is in force for every other half of such a period, at first at once."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Kind
    delay_ms: float = Field(default=0, ge=0, le=600_000)
    jitter_ms: float = Field(default=0, ge=0, le=600_000)
    growth_ms_per_s: float = Field(default=0, ge=0, le=600_000)
    bytes_per_s: float | None = Field(default=None, gt=0)
    after_bytes: int = Field(default=0, ge=0)
    text: str = Field(default="", max_length=10_000)
    period_s: float | None = Field(default=None, gt=0, le=3_600)

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if (self.kind is Kind.BANDWIDTH) != (self.bytes_per_s is not None):
            raise ValueError("bytes_per_s belongs to bandwidth, which needs it")
        if (self.kind is Kind.SAY) != bool(self.text):
            raise ValueError("text belongs to say, which needs it")
        return self

    def in_force(self, age_s: float) -> bool:
        """Say whether an order of that age is in force."""
        return self.period_s is None or age_s % self.period_s < self.period_s / 2

    def delay_s(self, age_s: float, chance: float) -> float:
        """Return how much later an answer comes; `chance` is from 0 to 1."""
        return (self.delay_ms + self.growth_ms_per_s * age_s + self.jitter_ms * chance) / 1000
