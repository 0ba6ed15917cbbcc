"""The composition that `make test-compose` has started; without one, this directory holds no test."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import closing

import pytest
from docker.models.containers import Container  # type: ignore[import-untyped]  # it has no types
from testcontainers.core.docker_client import DockerClient

PROJECT = os.environ.get("COMPOSE_PROJECT_NAME", "")
collect_ignore_glob = [] if PROJECT else ["test_*.py"]


@pytest.fixture(scope="session")
def composition() -> Iterator[Mapping[str, Container]]:
    """Each container of the composition by the name of its service."""
    with closing(DockerClient().client) as engine:
        found = engine.containers.list(all=True, filters={"label": f"com.docker.compose.project={PROJECT}"})
        yield {container.labels["com.docker.compose.service"]: container for container in found}
