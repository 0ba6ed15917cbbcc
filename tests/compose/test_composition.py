"""What runs, as the engine sees it: no rights that it does not need, and a fault in it is seen."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import httpx
import pytest
from docker.models.containers import Container  # type: ignore[import-untyped]  # it has no types

from tests.e2e.shop import until

JOBS = {"inventory-api", "flag-service", "health-monitor", "degradation-engine"}
SERVICES = {"kafka", "postgresql", "redis", "s3", "openai", "topics", "prometheus"} | JOBS
OWN_USER = SERVICES - {"kafka", "prometheus"}
"""Of the other two the publisher's image says who runs, and a stand-in for it may say otherwise."""
SEEN_S = 90

Composition = Mapping[str, Container]


def url(variable: str) -> str:
    return f"http://127.0.0.1:{os.environ[variable]}"


def asked(path: str) -> Any:
    return (
        httpx.get(f"{url('PROMETHEUS_PORT')}/api/v1/{path}", trust_env=False)
        .raise_for_status()
        .json()["data"]
    )


def test_everything_is_healthy_and_the_topics_are_made(composition: Composition) -> None:
    states = {name: container.attrs["State"] for name, container in composition.items()}

    assert states.keys() == SERVICES
    assert states.pop("topics")["ExitCode"] == 0
    assert {name for name, state in states.items() if state["Health"]["Status"] != "healthy"} == set()


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_a_container_has_bounds_and_no_rights_to_spare(composition: Composition, name: str) -> None:
    host = composition[name].attrs["HostConfig"]

    assert host["ReadonlyRootfs"]
    assert host["CapDrop"] == ["ALL"]
    assert host["SecurityOpt"] == ["no-new-privileges:true"]
    assert host["Memory"]
    assert host["PidsLimit"]
    assert all(mount["Type"] != "bind" or not mount["RW"] for mount in composition[name].attrs["Mounts"])


@pytest.mark.parametrize("name", sorted(OWN_USER - {"topics"}))
def test_nothing_runs_as_root(composition: Composition, name: str) -> None:
    """What the container runs and all that it started; a health check comes from the engine, for a moment."""
    main = str(composition[name].attrs["State"]["Pid"])
    top = composition[name].top(ps_args="-eo pid,ppid,uid")
    users = {pid: user for pid, _, user in top["Processes"]}
    parents = {pid: parent for pid, parent, _ in top["Processes"]}
    started = {main}
    while more := {pid for pid, parent in parents.items() if parent in started} - started:
        started |= more

    assert {users[pid] for pid in started} & {"0", "root"} == set()


def test_every_port_is_published_on_loopback_alone(composition: Composition) -> None:
    published = [
        binding["HostIp"]
        for container in composition.values()
        for bindings in container.attrs["HostConfig"]["PortBindings"].values()
        for binding in bindings
    ]

    assert set(published) == {"127.0.0.1"}


def test_prometheus_reads_every_service_and_its_rules_work() -> None:
    def all_up() -> bool:
        targets = asked("targets")["activeTargets"]
        return {t["labels"]["job"] for t in targets if t["health"] == "up"} == JOBS

    def all_evaluated() -> bool:
        rules = [rule for group in asked("rules")["groups"] for rule in group["rules"]]
        return bool(rules) and all(rule["health"] == "ok" for rule in rules)

    until("metrics of every service", all_up, SEEN_S)
    until("rules without an error", all_evaluated, SEEN_S)


def test_a_killed_dependency_lowers_the_level(composition: Composition) -> None:
    composition["postgresql"].kill()

    def rank() -> int:
        told = httpx.get(f"{url('FLAG_SERVICE_PORT')}/v1/levels/default", trust_env=False)
        return int(told.raise_for_status().json()["rank"])

    try:
        until("a level worse than OPTIMAL", lambda: rank() > 0, SEEN_S)
    finally:
        composition["postgresql"].start()
