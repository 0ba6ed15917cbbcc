"""Writes the JSON Schemas and the AsyncAPI document beside this file; run through `make contracts`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from resilience_contracts.documents import documents

DIRECTORY = Path(__file__).parent
TOPICS = DIRECTORY.parents[1] / "infra" / "kafka" / "topics.yaml"
VERSION = "1.0.0"


def generate() -> dict[str, str]:
    """Return every document by file name."""
    declared = yaml.safe_load(TOPICS.read_text(encoding="utf-8"))["topics"]
    return documents({name: _binding(topic) for name, topic in declared.items()}, VERSION)


def _binding(topic: dict[str, Any]) -> dict[str, Any]:
    config = topic["config"]
    shown = {"cleanup.policy": [config["cleanup.policy"]]}
    if "retention.ms" in config:
        shown["retention.ms"] = config["retention.ms"]
    return {"partitions": topic["partitions"], "topicConfiguration": shown}


def main() -> None:
    """Write every document."""
    for name, text in generate().items():
        (DIRECTORY / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
