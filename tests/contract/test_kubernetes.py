"""The manifests against Kubernetes' schemas, the declared settings, and what the containers are."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate  # type: ignore[import-untyped]  # it has no types
import pytest
import yaml
from pydantic_settings import BaseSettings

import degradation_engine.settings
import flag_service.settings
import health_monitor.settings
import inventory_api.settings
from resilience_cli.stack.certificates import AUTHORITY, write_certificates
from resilience_runtime.settings import TraceSettings

ROOT = Path(__file__).parents[2]
KUBERNETES = ROOT / "infra" / "kubernetes"
BASE, PRODUCTION = KUBERNETES / "base", KUBERNETES / "overlays" / "production"
VERSIONS = ("1.31", "1.37")
"""The oldest that is meant, and the newest whose schemas there are."""
SETTINGS: dict[str, type[BaseSettings]] = {
    "health-monitor": health_monitor.settings.Settings,
    "degradation-engine": degradation_engine.settings.Settings,
    "inventory-api": inventory_api.settings.Settings,
    "flag-service": flag_service.settings.Settings,
}
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))[
    "services"
]
PRINCIPALS = yaml.safe_load((ROOT / "infra/kafka/acls.yaml").read_text(encoding="utf-8"))["principals"]
ONLY_THERE = {"ANONYMOUS_SCOPES", "OTEL_TRACES_EXPORTER", "OTEL_EXPORTER_OTLP_ENDPOINT", "S3_ENDPOINT_URL"}
"""What the composition sets and the base leaves: openness for one machine, traces, and a bucket that is not AWS's."""


def loaded(path: Path) -> list[dict[str, Any]]:
    return [one for one in yaml.safe_load_all(path.read_text(encoding="utf-8")) if one]


def kustomization(folder: Path) -> dict[str, Any]:
    return loaded(folder / "kustomization.yaml")[0]


OBJECTS = [
    one
    for folder in (BASE, PRODUCTION)
    for path in sorted(folder.glob("*.yaml"))
    if path.stem != "kustomization"
    for one in loaded(path)
]


def of_kind(kind: str) -> dict[str, dict[str, Any]]:
    return {one["metadata"]["name"]: one for one in OBJECTS if one["kind"] == kind}


DEPLOYMENTS = of_kind("Deployment")


def pod(name: str) -> dict[str, Any]:
    found: dict[str, Any] = DEPLOYMENTS[name]["spec"]["template"]["spec"]
    return found


def container(name: str) -> dict[str, Any]:
    (only,) = pod(name)["containers"]
    found: dict[str, Any] = only
    return found


def config_maps(folder: Path) -> dict[str, dict[str, str]]:
    return {
        one["name"]: dict(literal.split("=", 1) for literal in one["literals"])
        for one in kustomization(folder)["configMapGenerator"]
    }


def environment(name: str) -> dict[str, str | None]:
    """What the container's environment holds; None where the value is elsewhere."""
    maps, given = config_maps(BASE), container(name)
    found: dict[str, str | None] = {}
    for source in given["envFrom"]:
        found |= maps[source["configMapRef"]["name"]]
    return found | {one["name"]: one.get("value") for one in given["env"]}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("found", OBJECTS, ids=lambda one: f"{one['kind']} {one['metadata']['name']}")
def test_a_manifest_follows_kubernetes_schema(found: dict[str, Any], version: str) -> None:
    kubernetes_validate.validate(found, version, strict=True)


def test_a_misspelt_field_would_be_told() -> None:
    wrong = {**DEPLOYMENTS["inventory-api"], "spce": {}}

    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, VERSIONS[0], strict=True)


@pytest.mark.parametrize("folder", [BASE, PRODUCTION], ids=lambda folder: folder.name)
def test_every_file_is_used_and_every_used_one_is_there(folder: Path) -> None:
    named = {(folder / entry).resolve() for entry in kustomization(folder)["resources"]}
    here = {path for path in folder.glob("*.yaml") if path.stem != "kustomization"}

    assert {path for path in named if path.is_file()} == here
    assert all(path.exists() for path in named)


def test_an_overlay_changes_what_is_there() -> None:
    overlay = kustomization(PRODUCTION)

    assert {one["name"] for one in overlay["images"]} == {container(name)["image"] for name in DEPLOYMENTS}
    assert {one["name"] for one in overlay["replicas"]} <= set(DEPLOYMENTS)
    for target in (patch["target"] for patch in overlay["patches"]):
        assert target["name"] in of_kind(target["kind"])
    for name, literals in config_maps(PRODUCTION).items():
        assert literals.keys() <= config_maps(BASE)[name].keys()


@pytest.mark.parametrize("name", SETTINGS)
def test_every_variable_is_a_setting_and_its_value_is_taken(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    given = environment(name)
    for model in (SETTINGS[name], TraceSettings):
        for setting in model.model_fields:
            monkeypatch.delenv(setting.upper(), raising=False)
    for variable, value in given.items():
        monkeypatch.setenv(variable, "from-elsewhere" if value is None else value)
    write_certificates(tmp_path)
    monkeypatch.setenv("KAFKA_SSL_CAFILE", str(tmp_path / AUTHORITY))
    password = tmp_path / Path(given["KAFKA_SASL_PASSWORD_FILE"] or "").name
    password.write_text("from-elsewhere", encoding="utf-8")
    monkeypatch.setenv("KAFKA_SASL_PASSWORD_FILE", str(password))

    assert SETTINGS[name]().model_dump()["kafka_sasl_username"] == name
    assert name in PRINCIPALS

    declared = {setting.upper() for setting in SETTINGS[name].model_fields}
    shared = {
        key
        for source in container(name)["envFrom"]
        for key in config_maps(BASE)[source["configMapRef"]["name"]]
    }
    assert given.keys() - shared <= declared
    assert {key for literals in config_maps(BASE).values() for key in literals} <= {
        setting.upper() for model in SETTINGS.values() for setting in model.model_fields
    }


@pytest.mark.parametrize("name", SETTINGS)
def test_what_the_composition_sets_is_set_here_too(name: str) -> None:
    composed = COMPOSE[name]["environment"].keys() - ONLY_THERE

    assert composed <= environment(name).keys()


@pytest.mark.parametrize("name", SETTINGS)
def test_no_secret_is_written_down(name: str) -> None:
    secret = re.compile("KEY$|SECRET|PASSWORD|_URL$")
    values = {
        variable: value
        for variable, value in environment(name).items()
        if secret.search(variable) and value is not None and not variable.endswith(("_FILE", "CAFILE"))
    }

    assert values.keys() <= {"OPENAI_BASE_URL", "INVENTORY_URL"}


@pytest.mark.parametrize("name", SETTINGS)
def test_a_container_has_bounds_and_no_rights_to_spare(name: str) -> None:
    given, around = container(name), pod(name)

    assert given["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert around["securityContext"]["runAsNonRoot"] is True
    assert around["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert f"--uid {around['securityContext']['runAsUser']} " in dockerfile(name)
    assert around["automountServiceAccountToken"] is False
    assert given["resources"]["limits"]["memory"] == f"{COMPOSE[name]['mem_limit'].removesuffix('m')}Mi"
    assert f"{around['terminationGracePeriodSeconds']}s" == COMPOSE[name]["stop_grace_period"]


def dockerfile(name: str) -> str:
    return (ROOT / "services" / name / "Dockerfile").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", SETTINGS)
def test_ports_and_probes_are_those_of_the_service(name: str) -> None:
    given = container(name)
    defaults = SETTINGS[name].model_fields

    ports = {one["name"]: one["containerPort"] for one in given["ports"]}
    assert ports == {"http": defaults["port"].default, "metrics": defaults["metrics_port"].default}
    assert f"EXPOSE {ports['http']} {ports['metrics']}" in dockerfile(name)
    assert (environment(name)["PORT"], environment(name)["METRICS_PORT"]) == tuple(map(str, ports.values()))
    probes = {kind: given[f"{kind}Probe"]["httpGet"]["path"] for kind in ("startup", "liveness", "readiness")}
    assert probes == {"startup": "/health/live", "liveness": "/health/live", "readiness": "/health/ready"}


@pytest.mark.parametrize("name", SETTINGS)
def test_replicas_are_spread_and_one_at_a_time_leaves(name: str) -> None:
    labels = {"matchLabels": {"app": name}}

    assert DEPLOYMENTS[name]["spec"]["selector"] == labels
    assert DEPLOYMENTS[name]["spec"]["template"]["metadata"]["labels"]["app"] == name
    assert of_kind("PodDisruptionBudget")[name]["spec"] == {"maxUnavailable": 1, "selector": labels}
    spread = pod(name)["topologySpreadConstraints"]
    assert {one["topologyKey"] for one in spread} == {"kubernetes.io/hostname", "topology.kubernetes.io/zone"}
    assert all(one["labelSelector"] == labels for one in spread)
    assert DEPLOYMENTS[name]["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] == 0


def test_only_one_thing_decides_how_many_replicas_there_are() -> None:
    scaled = {one["spec"]["scaleTargetRef"]["name"] for one in of_kind("HorizontalPodAutoscaler").values()}

    assert scaled == {"inventory-api"}
    assert {name for name, one in DEPLOYMENTS.items() if "replicas" not in one["spec"]} == scaled


def references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        for key, value in node.items():
            if key in {"secretKeyRef", "secret"} and "name" in value:
                yield value["name"]
            if key == "secret" and "secretName" in value:
                yield value["secretName"]
            yield from references(value)
    elif isinstance(node, list):
        for one in node:
            yield from references(one)


def renamed(name: str) -> dict[str, str]:
    """Which key of a secret is the content of a file whose name is another."""
    return {
        item["path"]: item["key"]
        for volume in pod(name)["volumes"]
        for item in volume.get("secret", {}).get("items", ())
    }


def test_the_readme_says_how_each_secret_is_made() -> None:
    readme = (KUBERNETES / "README.md").read_text(encoding="utf-8")
    made = set(re.findall(r"create secret generic (\S+)", readme))
    keys = {
        one["valueFrom"]["secretKeyRef"]["key"]
        for name in DEPLOYMENTS
        for one in container(name)["env"]
        if "secretKeyRef" in one.get("valueFrom", {})
    }
    files = {
        renamed(name).get(file := Path(value).name, file)
        for name in DEPLOYMENTS
        for variable, value in environment(name).items()
        if value is not None and value.startswith("/run/secrets/")
    }

    assert made == set(references(list(DEPLOYMENTS.values())))
    assert keys | files == set(re.findall(r"--from-(?:literal|file)=([a-z0-9.-]+)=", readme))


def test_nothing_is_open_but_what_a_policy_names() -> None:
    policies = of_kind("NetworkPolicy")

    assert policies["default-deny"]["spec"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    named = {
        port["port"]
        for one in policies.values()
        for rule in one["spec"].get("ingress", ())
        for port in rule["ports"]
    }
    assert named == {"http", "metrics"}
    kafka = {
        address.rpartition(":")[2]
        for folder in (BASE, PRODUCTION)
        for address in config_maps(folder)["resilience"]["KAFKA_BOOTSTRAP_SERVERS"].split(",")
    }
    assert kafka <= {
        str(port["port"]) for rule in policies["everyone"]["spec"]["egress"] for port in rule["ports"]
    }
