"""The tier of fixtures that runs parts in containers: each part starts by testcontainers and answers as the embedded."""

from __future__ import annotations

from pathlib import Path

import pytest

from resilience_cli.stack import Kafka, Part, Place, PostgreSQL, Redis, free_ports
from tests.fixtures.containers import IMAGES, start_container


def part(name: str, root: Path) -> Part:
    place, (port, other_port) = Place(root), free_ports(2)
    parts: dict[str, Part] = {
        "kafka": Kafka(place, port, other_port),
        "postgresql": PostgreSQL(place, port),
        "redis": Redis(place, port),
    }
    return parts[name]


@pytest.mark.parametrize("name", ["kafka", "postgresql", "redis"])
def test_a_part_of_the_stack_runs_in_a_container(tmp_path: Path, name: str) -> None:
    wanted = part(name, tmp_path)
    container = start_container(wanted)

    assert container is not None, f"no container of {IMAGES[name].name} answered"
    try:
        wanted.talk()
    finally:
        container.stop()
