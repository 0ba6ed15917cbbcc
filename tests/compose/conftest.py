"""The composition that `make test-compose` has started; without one, this directory holds no test."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import closing

import docker  # type: ignore[import-untyped]  # it has no types
import pytest
from docker.models.containers import Container  # type: ignore[import-untyped]  # it has no types
from testcontainers.core.docker_client import DockerClient

PROJECT = os.environ.get("COMPOSE_PROJECT_NAME", "")
collect_ignore_glob = [] if PROJECT else ["test_*.py"]


@pytest.fixture(scope="session")
def engine() -> Iterator[docker.DockerClient]:
    """The engine that runs it."""
    with closing(DockerClient().client) as engine:
        yield engine


@pytest.fixture(scope="module")
def composition(engine: docker.DockerClient) -> Mapping[str, Container]:
    """Each container of the composition by the name of its service; a canary of another file may have replaced one."""
    found = engine.containers.list(all=True, filters={"label": f"com.docker.compose.project={PROJECT}"})
    return {container.labels["com.docker.compose.service"]: container for container in found}
