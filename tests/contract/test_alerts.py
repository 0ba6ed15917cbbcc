"""Rules and runbooks against what the services export, and against promtool."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

import degradation_engine.metrics
import flag_service.metrics
import health_monitor.meters
import inventory_api.metrics
import resilience_cli.backup_metrics
from resilience_runtime import Kind, Metric
from tests.fixtures.prometheus import RULES, program

RUNBOOKS = Path("docs/runbooks")
CHAPTERS = ["Means", "Check", "Act", "Verify"]
OWN = re.compile(r"\b(?:inventory|flag|health_monitor|degradation_engine|resilience)_[a-z0-9_]+")


def rules(file: str) -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load((RULES / file).read_text())["groups"] for rule in group["rules"]]


def declared() -> list[Metric]:
    services = (
        degradation_engine.metrics,
        flag_service.metrics,
        health_monitor.meters,
        inventory_api.metrics,
        resilience_cli.backup_metrics,
    )
    return [value for service in services for value in vars(service).values() if isinstance(value, Metric)]


def exported() -> set[str]:
    metrics = declared()
    histograms = [metric.name for metric in metrics if metric.kind is Kind.HISTOGRAM]
    parts = {f"{name}_{part}" for name in histograms for part in ("count", "sum", "bucket")}
    return {metric.name for metric in metrics} | parts


def promtool(*words: str) -> None:
    done = subprocess.run(
        [program("promtool"), *words], capture_output=True, text=True, check=False, timeout=110
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("file", ["prometheus.yml", "compose.yml"])
def test_promtool_accepts_configuration_and_rules(file: str) -> None:
    promtool("check", "config", str(RULES / file))


def test_the_rules_fire_and_stay_silent_as_their_unit_tests_say() -> None:
    promtool("test", "rules", str(RULES / "tests.yml"))


@pytest.mark.parametrize("file", ["recording.yml", "alerts.yml"])
def test_rules_ask_only_for_metrics_that_a_service_exports(file: str) -> None:
    asked = {name for rule in rules(file) for name in OWN.findall(rule["expr"])}

    assert asked or file == "alerts.yml"
    assert asked <= exported()


@pytest.mark.parametrize("alert", rules("alerts.yml"), ids=lambda alert: alert["alert"])
def test_each_alert_says_whom_it_wakes_and_what_to_do(alert: dict[str, Any]) -> None:
    page = Path(alert["annotations"]["runbook_url"])

    assert alert["labels"]["severity"] in {"page", "ticket"}
    assert page == RUNBOOKS / f"{alert['alert']}.md"
    assert re.findall(r"^## (.*)$", page.read_text(), re.MULTILINE) == CHAPTERS


def test_each_alert_is_tested_and_each_runbook_has_its_alert() -> None:
    names = {alert["alert"] for alert in rules("alerts.yml")}
    tests = yaml.safe_load((RULES / "tests.yml").read_text())["tests"]
    fired = {
        case["alertname"] for test in tests for case in test.get("alert_rule_test", []) if case["exp_alerts"]
    }

    assert fired == names
    assert {page.stem for page in RUNBOOKS.glob("[A-Z]*.md")} - {"README"} == names
