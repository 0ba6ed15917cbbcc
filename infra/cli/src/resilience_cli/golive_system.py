"""The running system, as the points of a checklist look at it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import yaml
from prometheus_client.parser import text_string_to_metric_families

from resilience_contracts import Level

from .acls import drift_of_acls
from .apart import run_apart
from .audit_log import judge, read_topic
from .errors import StackError
from .feed import followed, load_policy
from .groups import members_of
from .holds_api import KEY_VARIABLE, HoldsApi
from .letters import DEAD_LETTER_TOPICS, letters
from .records import read_records
from .rights import declared_rights
from .rollout_reading import VIOLATIONS
from .smoke import Smoke
from .target import LOOPBACK_URL, Target
from .topics import copies_of_declared, drift_of_declared

TIMEOUT_S = 5.0
LATELY = timedelta(days=1)
SERVICES = ("inventory-api", "flag-service", "health-monitor", "degradation-engine")
POLICY_DIFFERS = "flag_policy_differs"
UNAUTHORIZED = httpx.codes.UNAUTHORIZED


class RunningSystem:
    """The system that a command talks to, and the Prometheus that watches it."""

    def __init__(self, target: Target, prometheus_url: str) -> None:
        self._target = target
        self._prometheus = prometheus_url.rstrip("/")
        self._client = httpx.Client(timeout=TIMEOUT_S, trust_env=False)
        self.places: Mapping[str, str] = {
            "inventory": target.url("inventory-api"),
            "flags": target.url("flag-service"),
            "monitor": target.url("health-monitor"),
            "engine": target.url("degradation-engine"),
            "inventory_metrics": self._metrics_url("inventory-api"),
            "flags_metrics": self._metrics_url("flag-service"),
            "prometheus": self._prometheus,
            "policy": os.environ.get("RESILIENCE_POLICY_FILE") or "policy.yaml",
        }

    def close(self) -> None:
        """Hang up."""
        self._client.close()

    def encrypted(self) -> bool:
        """Go by the access that this command is given: the services' own has to be the same."""
        protocol = self._target.kafka.protocol
        return protocol.encrypted and protocol.authenticated

    def rights_that_differ(self) -> list[str]:
        """Compare with infra/kafka/acls.yaml."""
        drift = drift_of_acls(self._target.kafka)
        found = {"missing": drift.missing, "extra": drift.extra, "foreign": drift.foreign}
        return [f"{kind}: {acl}" for kind, acls in found.items() for acl in acls]

    def topics_that_differ(self) -> list[str]:
        """Compare with infra/kafka/topics.yaml."""
        return [str(each) for each in drift_of_declared(self._target.kafka)]

    def copies(self) -> Mapping[str, int]:
        """Ask Kafka."""
        return copies_of_declared(self._target.kafka)

    def replicas(self) -> Mapping[str, int]:
        """Count the members of each service's consumer group."""
        groups = {name: right.groups[0] for name, right in declared_rights().items() if right.groups}
        found = members_of(self._target.kafka, list(groups.values()))
        return {name: found[group] for name, group in groups.items()}

    def not_ready(self) -> list[str]:
        """Ask each service."""
        return [f"{name}: {why}" for name in SERVICES if (why := self._unready(name))]

    def level(self) -> tuple[Level | None, bool]:
        """Read it from Kafka, whatever service is down."""
        return run_apart(self._level())

    def holds(self) -> list[str]:
        """Ask flag-service."""
        with HoldsApi(self._target) as api:
            return [f"{hold['target']} in {hold['scope']}" for hold in api.all(None)]

    def dead_letters(self) -> list[str]:
        """Read the topics of dead letters."""
        since = datetime.now(UTC) - LATELY
        found = letters(read_records(self._target.kafka, DEAD_LETTER_TOPICS, since))
        return [f"{letter.id}: {letter.reason}" for letter in found if not letter.replayed]

    def audit_faults(self) -> list[str]:
        """Read the audit log."""
        return judge(read_topic(self._target.kafka)).faults

    def contradictions(self) -> Mapping[str, float]:
        """Read the metrics of inventory-api."""
        return self._metric("inventory-api", VIOLATIONS, "audit")

    def policy_differs(self) -> bool:
        """Read the policy here, and what flag-service says of the engine's."""
        load_policy()
        return any(self._metric("flag-service", POLICY_DIFFERS, "scope").values())

    def open_doors(self) -> list[str]:
        """Knock without a key. Where a door is open the empty request is refused as such: nothing is changed."""
        doors = (
            ("GET", f"{self.places['inventory']}/v1/skus?limit=1"),
            ("POST", f"{self.places['inventory']}/v1/adjustments"),
            ("PUT", f"{self.places['flags']}/v1/holds/{self._target.scope}/level"),
        )
        answers = {f"{method} {url}": self._ask(method, url).status_code for method, url in doors}
        return [f"{door} gave {code}" for door, code in answers.items() if code != UNAUTHORIZED]

    def smoke_failures(self) -> list[str]:
        """Do what `resilience smoke` does."""
        key = os.environ.get(KEY_VARIABLE)
        smoke = Smoke(self.places["inventory"], self.places["flags"], self._target.scope, key)
        return [f"{each.name}: {each.detail}" for each in smoke.run() if not each.passed]

    def missing_alerts(self) -> list[str]:
        """Compare what Prometheus evaluates with infra/prometheus/alerts.yml."""
        groups = self._asked("rules", "groups")
        sound = {rule["name"] for group in groups for rule in group["rules"] if rule["health"] != "err"}
        return [name for name in declared_alerts() if name not in sound]

    def alertmanagers(self) -> list[str]:
        """Ask Prometheus."""
        return [str(each["url"]) for each in self._asked("alertmanagers", "activeAlertmanagers")]

    def not_scraped(self) -> list[str]:
        """Ask Prometheus."""
        targets = self._asked("targets", "activeTargets")
        up = {target["labels"].get("job") for target in targets if target["health"] == "up"}
        return [name for name in SERVICES if name not in up]

    async def _level(self) -> tuple[Level | None, bool]:
        async with followed(self._target.kafka, self._target.regions) as view:
            level = view.level(self._target.scope, datetime.now(UTC))
        return (level.level, level.stale) if level else (None, False)

    def _unready(self, service: str) -> str:
        try:
            answer = self._client.get(f"{self._target.url(service)}/health/ready")
        except httpx.HTTPError as error:
            return type(error).__name__
        return "" if answer.is_success else f"HTTP {answer.status_code}"

    def _metrics_url(self, service: str) -> str:
        return f"{LOOPBACK_URL}:{self._target.ports[f'{service}-metrics']}/metrics"

    def _metric(self, service: str, name: str, label: str) -> dict[str, float]:
        url = self._metrics_url(service)
        try:
            families = list(text_string_to_metric_families(self._ask("GET", url).text))
        except ValueError:
            families = []
        samples = [sample for family in families for sample in family.samples if sample.name == name]
        if not samples:
            raise StackError(
                f"{url} gives no {name}", f"wait for it, or see that {service} gives metrics there"
            )
        return {sample.labels[label]: sample.value for sample in samples}

    def _asked(self, path: str, name: str) -> list[Any]:
        answer = self._ask("GET", f"{self._prometheus}/api/v1/{path}")
        try:
            found: list[Any] = answer.raise_for_status().json()["data"][name]
        except (httpx.HTTPStatusError, ValueError, KeyError, TypeError) as error:
            raise StackError(
                f"{self._prometheus} does not answer as Prometheus does", "name it with --prometheus"
            ) from error
        return found

    def _ask(self, method: str, url: str) -> httpx.Response:
        try:
            return self._client.request(
                method, url, json={} if method != "GET" else None, follow_redirects=True
            )
        except httpx.HTTPError as error:
            raise StackError(
                f"{url} does not answer ({type(error).__name__})",
                "start what is there, or say where it is (`resilience golive check --help`)",
            ) from error


def declared_alerts(path: Path | None = None) -> Iterable[str]:
    """Return the names of the alerts that ship.

    Raises:
        StackError: the file cannot be read.
    """
    source = path or _shipped()
    try:
        groups = yaml.safe_load(source.read_text(encoding="utf-8"))["groups"]
        return [rule["alert"] for group in groups for rule in group["rules"]]
    except (OSError, yaml.YAMLError, KeyError, TypeError) as error:
        raise StackError(f"{source} declares no alerts", "restore the file") from error


def _shipped() -> Path:
    """Return the file inside the installed package, or beside its source."""
    here = Path(__file__).parent
    packed = here / "alerts.yml"
    return packed if packed.exists() else here.parents[2] / "prometheus" / "alerts.yml"
