"""What the checklists see over HTTP: services, doors, metrics and Prometheus, well and not."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from resilience_cli.errors import StackError
from resilience_cli.golive_system import SERVICES, RunningSystem, declared_alerts
from resilience_cli.stack.ports import VARIABLES
from resilience_cli.target import find_target

DOORS = ("GET /v1/skus?limit=1", "POST /v1/adjustments", "PUT /v1/holds/default/level")
ALERTS = list(declared_alerts())


@dataclass
class Site:
    """Everything on one port: an answer for each request."""

    url: str = ""
    answers: dict[str, tuple[int, str]] = field(default_factory=dict)

    def prometheus(self, path: str, data: object) -> None:
        self.answers[f"GET /api/v1/{path}"] = (200, json.dumps({"status": "success", "data": data}))


@pytest.fixture
def site() -> Iterator[Site]:
    site = Site()

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            status, text = site.answers.get(f"{self.command} {self.path}", (404, "nothing"))
            self.send_response(status)
            self.end_headers()
            self.wfile.write(text.encode())

        do_GET = do_POST = do_PUT = answer  # noqa: N815 - the names that the server calls

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        site.url = f"http://127.0.0.1:{server.server_port}"
        yield site
        server.shutdown()


@pytest.fixture
def system(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RunningSystem]:
    monkeypatch.setenv("RESILIENCE_STACK_DIR", str(tmp_path))
    target = find_target()
    ports = dict.fromkeys(VARIABLES, int(site.url.rpartition(":")[2]))
    with closing(
        RunningSystem(replace(target, ports=ports, scope="default", state=None), site.url)
    ) as system:
        yield system


def test_a_service_is_ready_when_it_says_so(site: Site, system: RunningSystem) -> None:
    site.answers["GET /health/ready"] = (503, "{}")
    assert system.not_ready() == [f"{name}: HTTP 503" for name in SERVICES]

    site.answers["GET /health/ready"] = (200, "{}")
    assert system.not_ready() == []


@pytest.mark.parametrize("code", [200, 422, 404, 403])
@pytest.mark.parametrize("door", DOORS)
def test_a_door_is_closed_when_it_asks_for_a_key(
    site: Site, system: RunningSystem, door: str, code: int
) -> None:
    site.answers = dict.fromkeys(DOORS, (401, "{}"))
    assert system.open_doors() == []

    site.answers[door] = (code, "{}")
    method, _, path = door.partition(" ")
    assert system.open_doors() == [f"{method} {site.url}{path} gave {code}"]


def test_the_metrics_tell_of_contradictions_and_of_another_policy(site: Site, system: RunningSystem) -> None:
    def told(number: int, differs: int) -> str:
        audits = f'inventory_audit_violations{{audit="1_stock"}} {number}\n'
        return f'{audits}other{{audit="2"}} 9\nflag_policy_differs{{scope="default"}} {differs}\n'

    site.answers["GET /metrics"] = (200, told(0, 0))
    assert (system.contradictions(), system.policy_differs()) == ({"1_stock": 0}, False)

    site.answers["GET /metrics"] = (200, told(3, 1))
    assert (system.contradictions(), system.policy_differs()) == ({"1_stock": 3}, True)


@pytest.mark.parametrize("answer", [(500, ""), (200, "<html>"), (200, "")])
def test_no_figures_are_not_good_figures(site: Site, system: RunningSystem, answer: tuple[int, str]) -> None:
    site.answers["GET /metrics"] = answer

    with pytest.raises(StackError, match="no inventory_audit_violations"):
        system.contradictions()
    with pytest.raises(StackError, match="no flag_policy_differs"):
        system.policy_differs()


def test_a_policy_file_that_is_none_is_said(
    system: RunningSystem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RESILIENCE_POLICY_FILE", str(tmp_path))

    with pytest.raises(StackError, match="is no policy"):
        system.policy_differs()


def test_an_alert_that_is_missing_or_cannot_be_evaluated_is_named(site: Site, system: RunningSystem) -> None:
    rules = [{"name": name, "health": "ok"} for name in ALERTS]
    site.prometheus("rules", {"groups": [{"rules": rules}]})
    assert system.missing_alerts() == []

    rules[0]["health"] = "err"
    site.prometheus("rules", {"groups": [{"rules": rules[:-1]}]})
    assert system.missing_alerts() == [ALERTS[0], ALERTS[-1]]


def test_prometheus_names_alertmanager_and_what_it_does_not_get(site: Site, system: RunningSystem) -> None:
    targets = [{"labels": {"job": name}, "health": "up"} for name in SERVICES]
    site.prometheus("targets", {"activeTargets": targets})
    site.prometheus("alertmanagers", {"activeAlertmanagers": [{"url": "http://am:9093/api/v2/alerts"}]})
    assert (system.not_scraped(), system.alertmanagers()) == ([], ["http://am:9093/api/v2/alerts"])

    targets[1]["health"] = "down"
    site.prometheus("targets", {"activeTargets": targets[1:]})
    site.prometheus("alertmanagers", {"activeAlertmanagers": []})
    assert (system.not_scraped(), system.alertmanagers()) == (list(SERVICES[:2]), [])


@pytest.mark.parametrize(
    "answer", [(404, ""), (200, "<html>"), (200, "{}"), (200, "[]"), (200, '{"data": {}}')]
)
def test_what_is_no_prometheus_is_said(site: Site, system: RunningSystem, answer: tuple[int, str]) -> None:
    site.answers = {f"GET /api/v1/{path}": answer for path in ("rules", "targets", "alertmanagers")}

    for look in (system.missing_alerts, system.not_scraped, system.alertmanagers):
        with pytest.raises(StackError, match="does not answer as Prometheus does"):
            look()
