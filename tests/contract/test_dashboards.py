"""Dashboards and the routing of alerts against what is really exported, declared and composed."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models import dashboard as grafana

from infra.grafana.generate import DIRECTORY, document
from infra.grafana.panels import DASHBOARDS, Dashboard
from resilience_runtime import Metric
from tests.contract.test_alerts import declared, exported, promtool, rules
from tests.fixtures.prometheus import RULES, program

ALERTMANAGER = Path("infra/alertmanager/alertmanager.yml")
PROCESS = {"process_resident_memory_bytes"}
SCRAPED = {"job", "instance", "le"}
SELECTOR = re.compile(r"\b([a-z][a-z0-9_:]*[_:][a-z0-9_:]*)(?:\{([^}]*)\})?")
GROUPED = re.compile(r"\bby \(([^)]*)\)")
FUNCTIONS = {"histogram_quantile"}


def queries(dashboard: Dashboard) -> list[tuple[str, str]]:
    return [(legend, query) for panel in dashboard.panels for legend, query in panel.queries.items()]


QUERIES = [query for dashboard in DASHBOARDS for query in queries(dashboard)]


def names(query: str) -> set[str]:
    outside = GROUPED.sub("", re.sub(r'"[^"]*"', "", query))
    return {name for name, _ in SELECTOR.findall(outside)} - FUNCTIONS


def metric_of(name: str) -> Metric | None:
    plain = re.sub(r"_(bucket|count|sum)$", "", name)
    return next((metric for metric in declared() if metric.name in {name, plain}), None)


@pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda dashboard: dashboard.uid)
def test_the_committed_dashboard_is_the_generated_one(dashboard: Dashboard) -> None:
    assert (DIRECTORY / f"{dashboard.uid}.json").read_text() == document(dashboard)


def test_no_other_dashboard_lies_there() -> None:
    assert {file.stem for file in DIRECTORY.iterdir()} == {dashboard.uid for dashboard in DASHBOARDS}


def lost(ours: Any, read: Any, path: str = "") -> list[str]:
    """Return where what was read of a document lacks something of it, or has it otherwise."""
    if isinstance(ours, dict) and isinstance(read, dict):
        found = (lost(value, read.get(key), f"{path}/{key}") for key, value in ours.items())
    elif isinstance(ours, list) and isinstance(read, list) and len(ours) == len(read):
        found = (lost(*pair, f"{path}/{number}") for number, pair in enumerate(zip(ours, read, strict=True)))
    else:
        return [] if ours == read else [path]
    return [each for part in found for each in part]


@pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda dashboard: dashboard.uid)
def test_grafanas_own_model_reads_all_of_a_dashboard(dashboard: Dashboard) -> None:
    register_default_plugins()
    ours = json.loads(document(dashboard))
    mistaken = json.loads(document(dashboard))
    mistaken["panels"][0]["fieldConfig"]["defaults"]["unitt"] = "s"

    assert lost(ours, as_grafana_reads(ours)) == []
    assert lost(mistaken, as_grafana_reads(mistaken)) == ["/panels/0/fieldConfig/defaults/unitt"]


def as_grafana_reads(given: Any) -> Any:
    return json.loads(JSONEncoder().encode(grafana.Dashboard.from_json(given)))


@pytest.mark.parametrize(("legend", "query"), QUERIES)
def test_a_panel_asks_for_what_is_exported_by_labels_that_it_has(legend: str, query: str) -> None:
    asked = names(query)
    known = exported() | PROCESS | {rule["record"] for rule in rules("recording.yml")}
    labels = {label for metric in map(metric_of, asked) if metric for label in metric.labels} | SCRAPED
    selected = {
        part.partition("=")[0].rstrip("!")
        for _, inside in SELECTOR.findall(query)
        for part in inside.split(",")
    }
    grouped = {label.strip() for group in GROUPED.findall(query) for label in group.split(",")}
    shown = set(re.findall(r"\{\{(\w+)\}\}", legend))

    assert asked
    assert asked <= known
    assert (selected | grouped) - {""} <= labels
    assert not shown or shown <= grouped | {"scope"}


def test_prometheus_understands_every_query(tmp_path: Path) -> None:
    recorded = [{"record": f"panel:{number}:q", "expr": query} for number, (_, query) in enumerate(QUERIES)]
    file = tmp_path / "panels.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": recorded}]}))

    promtool("check", "rules", str(file))


@pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda dashboard: dashboard.uid)
def test_panels_fit_side_by_side_and_each_says_what_it_shows(dashboard: Dashboard) -> None:
    panels = json.loads(document(dashboard))["panels"]
    cells = [
        (x, y)
        for panel in panels
        for place in [panel["gridPos"]]
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]

    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24
    assert all(panel["description"] for panel in panels)


def test_compose_scrapes_the_same_jobs_under_their_names() -> None:
    here, there = (yaml.safe_load((RULES / file).read_text()) for file in ("prometheus.yml", "compose.yml"))

    targets = {job["job_name"]: job["static_configs"][0]["targets"] for job in there["scrape_configs"]}
    ports = {job["job_name"]: job["static_configs"][0]["targets"][0][-4:] for job in here["scrape_configs"]}
    assert targets == {name: [f"{name}:{port}"] for name, port in ports.items()}
    assert here["rule_files"] == there["rule_files"]


def amtool(*words: str) -> str:
    done = subprocess.run(
        [program("amtool"), *words], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_alertmanager_accepts_its_configuration() -> None:
    amtool("check-config", str(ALERTMANAGER))


@pytest.mark.parametrize(("severity", "receiver"), [("page", "pages"), ("ticket", "tickets")])
def test_each_severity_reaches_its_receiver(severity: str, receiver: str) -> None:
    told = amtool("config", "routes", "test", f"--config.file={ALERTMANAGER}", f"severity={severity}")

    assert told.strip() == receiver


def test_alertmanager_silences_alerts_that_exist() -> None:
    config: dict[str, Any] = yaml.safe_load(ALERTMANAGER.read_text())
    matchers = [text for rule in config["inhibit_rules"] for side in rule.values() for text in side]
    silenced = {name for text in matchers for name in re.findall(r"[A-Z]\w+", text)}

    assert silenced
    assert silenced <= {rule["alert"] for rule in rules("alerts.yml")}
