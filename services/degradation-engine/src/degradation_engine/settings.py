"""Settings of the degradation engine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator
from pydantic_settings import NoDecode

from resilience_contracts import Regions
from resilience_runtime.settings import HttpSettings, KafkaSettings, LogSettings, Port, RuntimeSettings

SERVICE = "degradation-engine"


class Settings(HttpSettings, KafkaSettings, LogSettings, RuntimeSettings):
    """Read from the environment.

    Attributes:
        resilience_policy_file: the degradation policy; the one that ships when not given.
        resilience_regions: other regions whose topics are mirrored here, with blanks between them.
    """

    port: Port = 9003
    metrics_port: Port = 9103
    resilience_policy_file: Path | None = None
    resilience_regions: Annotated[Regions, NoDecode, BeforeValidator(Regions.parse)] = Regions()

    @property
    def source(self) -> str:
        """Who this process is, in the events that it publishes."""
        return f"/services/{SERVICE}/{self.instance}"

    @property
    def member_id(self) -> str | None:
        """Name in the consumer group, when somebody chose a lasting one: a quick restart then moves nothing."""
        return self.instance if "instance" in self.model_fields_set else None
