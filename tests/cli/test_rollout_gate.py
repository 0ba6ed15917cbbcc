"""Whether a roll-out makes anything worse: pure judgement, and the command over real HTTP."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from resilience_cli.rollout_gate import (
    COUNTED_FOR_EVER,
    ERROR_BUDGET,
    MOST_BURN,
    SILENT_READINGS,
    Gate,
    Reading,
    Requests,
    unfit,
)
from resilience_cli.rollout_reading import REQUESTS, VIOLATIONS
from resilience_contracts import Level
from tests.cli.command import Called, Command, patched

RULES = Path(__file__).parents[2] / "infra/prometheus/alerts.yml"
API = "http://api/metrics"


def reading(
    level: Level | None = Level.OPTIMAL,
    total: float = 0,
    failed: float = 0,
    *,
    stale: bool = False,
    **violations: float,
) -> Reading:
    return Reading(level, stale, {API: Requests(total, failed)}, violations)


def test_nothing_that_stays_as_it_was_stops_a_roll_out() -> None:
    bad = reading(Level.MINIMAL, 1000, 900, stale=True, oversold=3)
    gate = Gate(bad)

    assert [gate.worse(bad) for _ in range(5)] == [None] * 5


@pytest.mark.parametrize(
    ("seen", "reason"),
    [
        (reading(Level.DEGRADED), "the level is DEGRADED and was OPTIMAL"),
        (reading(stale=True), "the level OPTIMAL is stale: nobody judges any more"),
        (
            reading(total=1000, failed=20),
            "20 of 1000 requests at http://api/metrics failed: 20 times what the error budget allows",
        ),
        (reading(oversold=1), "the audit oversold finds 1 contradictions and found 0"),
    ],
)
def test_what_gets_worse_stops_it_and_is_named(seen: Reading, reason: str) -> None:
    told = Gate(reading()).worse(seen)

    assert told is not None
    assert told.startswith(reason)


@pytest.mark.parametrize(
    "seen", [reading(total=10, failed=4), reading(total=100_000, failed=1000), reading(Level.OPTIMAL)]
)
def test_little_is_no_trend(seen: Reading) -> None:
    assert Gate(reading()).worse(seen) is None


def test_a_new_replica_that_fails_is_not_hidden_by_old_ones_that_take_most_requests() -> None:
    gate = Gate(Reading(Level.OPTIMAL, requests={"old": Requests(500, 0), "new": Requests()}))

    told = gate.worse(Reading(Level.OPTIMAL, requests={"old": Requests(10_500, 0), "new": Requests(50, 5)}))

    assert told is not None
    assert told.startswith("5 of 50 requests at new failed: 100 times")


def test_a_little_at_each_replica_is_a_trend_of_all() -> None:
    before, after = (
        {name: Requests(total, failed) for name in "abc"} for total, failed in ((10, 0), (30, 4))
    )

    told = Gate(Reading(Level.OPTIMAL, requests=before)).worse(Reading(Level.OPTIMAL, requests=after))

    assert told is not None
    assert told.startswith("12 of 60 requests failed: 200 times")


def test_a_better_level_is_no_reason_and_a_worse_one_than_that_neither() -> None:
    gate = Gate(reading(Level.LIMITED))

    assert [gate.worse(reading(level)) for level in (Level.OPTIMAL, Level.LIMITED)] == [None, None]
    assert gate.worse(reading(Level.MINIMAL)) is not None


def test_a_replica_that_is_replaced_counts_anew() -> None:
    gate = Gate(reading(total=1000, failed=3))

    assert gate.worse(reading(total=1100, failed=3)) is None
    assert gate.worse(reading(total=10, failed=0)) is None
    assert gate.requests == Requests(110, 0)
    assert gate.worse(reading(total=40, failed=20)) is not None


def test_only_what_stays_silent_stops_it() -> None:
    gate, silent = Gate(reading()), Reading(Level.OPTIMAL, silent=frozenset({API}))

    for _ in range(3):
        assert [gate.worse(silent) for _ in range(SILENT_READINGS - 1)] == [None] * (SILENT_READINGS - 1)
        assert gate.worse(reading()) is None
    assert [gate.worse(silent) for _ in range(SILENT_READINGS)][-1] == f"{API} does not answer"


def test_what_is_counted_for_ever_is_compared_with_where_it_was_first_read() -> None:
    gate = Gate(reading())  # of a version that has just begun, and has not audited

    told = [gate.worse(reading(**{COUNTED_FOR_EVER: number})) for number in (2.0, 2.0, 3.0)]  # type: ignore[arg-type]  # audits, not staleness

    assert told == [None, None, f"the audit {COUNTED_FOR_EVER} finds 3 contradictions and found 2"]


@given(st.lists(st.tuples(st.integers(0, 10**6), st.floats(0, MOST_BURN * ERROR_BUDGET)), max_size=20))
def test_within_the_budget_nothing_is_said(steps: list[tuple[int, float]]) -> None:
    gate, total, failed = Gate(reading()), 0, 0
    for requests, share in steps:
        total, failed = total + requests, failed + int(requests * share)
        assert gate.worse(reading(total=total, failed=failed)) is None


@pytest.mark.parametrize(
    ("first", "reason"),
    [
        (reading(), None),
        (reading(total=1000, failed=900, oversold=0), None),
        (reading(Level.DEGRADED), "the level is DEGRADED already"),
        (reading(Level.MINIMAL), "the level is MINIMAL already"),
        (reading(stale=True), "the level is stale: nobody judges"),
        (reading(**{COUNTED_FOR_EVER: 2.0}), None),  # type: ignore[arg-type]  # audits, not staleness
        (reading(oversold=2), "the audit oversold finds 2 contradictions already"),
    ],
)
def test_what_is_bad_already_is_no_state_to_begin_in(first: Reading, reason: str | None) -> None:
    assert unfit(first) == reason


def test_the_budget_and_what_is_counted_for_ever_are_those_of_the_alerts() -> None:
    groups = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
    alerts = {rule["alert"]: rule["expr"] for group in groups for rule in group["rules"]}

    assert f"> {MOST_BURN:g} * {ERROR_BUDGET:g}" in alerts["AvailabilityBudgetBurnsFast"]
    assert f'audit!="{COUNTED_FOR_EVER}"' in alerts["StockContradictsItself"]


@dataclass
class Shop:
    """Answers as flag-service and inventory-api do."""

    rank: int = 0
    stale: bool = False
    requests: int = 100
    failed: int = 0
    oversold: int = 0
    port: int = 0
    looks: list[str] = field(default_factory=list)
    later: dict[str, int] = field(default_factory=dict)
    """What changes after two looks."""

    def answer(self, path: str) -> str:
        self.looks.append(path)
        if len(self.looks) > 4:
            vars(self).update(self.later)
        if path == "/other":
            return f'{VIOLATIONS}{{audit="1_stock"}} 0\n'
        if path == "/metrics":
            return (
                f'{REQUESTS}{{method="GET",route="/",status="200"}} {self.requests - self.failed}\n'
                f'{REQUESTS}{{method="GET",route="/",status="503"}} {self.failed}\n'
                f'{VIOLATIONS}{{audit="1_stock"}} {self.oversold}\n'
            )
        return json.dumps({"rank": self.rank, "stale": self.stale})


@pytest.fixture
def shop() -> Iterator[Shop]:
    shop = Shop()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = shop.answer(self.path).encode()
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        shop.port = server.server_port
        yield shop
        server.shutdown()


def gated(shop: Shop, tmp_path: Path, *words: str) -> Called:
    command = Command(tmp_path / "none", {"FLAG_SERVICE_PORT": str(shop.port)})
    with patched(command.env):
        return command.call("rollout", "gate", "--metrics", f"http://127.0.0.1:{shop.port}/metrics", *words)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resilience_cli.commands.rollout.EVERY_S", 0.05)


def test_a_quiet_roll_out_may_go_on(shop: Shop, tmp_path: Path) -> None:
    called = gated(shop, tmp_path, "--for", "1s", "--json")

    document = json.loads(called.out)
    assert (called.code, document["passed"], document["level"], document["burn"]) == (0, True, "OPTIMAL", 0)
    assert document["watched_s"] >= 1
    assert len(shop.looks) > 10


@pytest.mark.parametrize(
    ("later", "reason"),
    [
        ({"rank": 2}, "the level is LIMITED and was OPTIMAL"),
        ({"requests": 200, "failed": 50}, "50 of 100 requests at http://"),
        ({"oversold": 2}, "the audit 1_stock finds 2 contradictions"),
    ],
)
def test_a_bad_version_is_stopped_at_once(
    shop: Shop, tmp_path: Path, later: dict[str, int], reason: str
) -> None:
    shop.later = later

    called = gated(shop, tmp_path, "--for", "10m")

    assert called.code == 1
    assert called.out.startswith("STOP")
    assert reason in called.out


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ({"rank": 3}, "the level is MINIMAL already"),
        ({"stale": True}, "the level is stale"),
        ({"oversold": 1}, "the audit 1_stock finds 1 contradictions already"),
    ],
)
def test_a_bad_state_is_none_to_roll_out_in(
    shop: Shop, tmp_path: Path, bad: dict[str, int], reason: str
) -> None:
    vars(shop).update(bad)

    called = gated(shop, tmp_path, "--for", "10m")
    document = json.loads(gated(shop, tmp_path, "--for", "10m", "--json").out)

    assert called.code == 1
    assert called.out.startswith(f"STOP  not a state to roll out in: {reason}")
    assert "--allow-degraded" in called.out
    assert (document["begun"], document["passed"], len(shop.looks)) == (False, False, 4)


@pytest.mark.parametrize(("later", "code"), [({}, 0), ({"rank": 4}, 1)])
def test_who_allows_a_bad_state_is_told_what_gets_worse_from_there(
    shop: Shop, tmp_path: Path, later: dict[str, int], code: int
) -> None:
    shop.rank, shop.oversold, shop.later = 3, 1, later

    called = gated(shop, tmp_path, "--for", "1s", "--allow-degraded", "--json")

    assert (called.code, json.loads(called.out)["begun"]) == (code, True)


@pytest.mark.parametrize("paths", [("/metrics", "/other"), ("/other", "/metrics")])
def test_one_replica_that_finds_contradictions_is_enough(
    shop: Shop, tmp_path: Path, paths: tuple[str, str]
) -> None:
    shop.oversold = 1
    addresses = [word for path in paths for word in ("--metrics", f"http://127.0.0.1:{shop.port}{path}")]

    called = Command(tmp_path / "none", {"FLAG_SERVICE_PORT": str(shop.port)}).call(
        "rollout", "gate", "--for", "1s", *addresses
    )

    assert (called.code, called.out.count("1 contradictions already")) == (1, 1)


@pytest.mark.parametrize(
    ("words", "code", "reason"),
    [
        (("--for", "soon"), 2, "is no length of time"),
        ((), 2, "--for"),
        (("--for", "1s", "--metrics", "ftp://there"), 3, "is no address"),
        (
            ("--for", "1s", "--metrics", "http://127.0.0.1:1/metrics"),
            3,
            "127.0.0.1:1/metrics does not answer",
        ),
    ],
)
def test_bad_input_is_one_line(
    shop: Shop, tmp_path: Path, words: tuple[str, ...], code: int, reason: str
) -> None:
    called = gated(shop, tmp_path, *words)

    assert called.code == code
    assert reason in " ".join(called.err.split())
    assert shop.looks == [] or code == 3
