"""PostgreSQL frozen under traffic: the breaker speaks before the probe, nobody hangs, nobody storms back."""

from __future__ import annotations

import asyncio
import json

import httpx
import pytest

from resilience_cli.main import run
from resilience_contracts import BreakerState, Level, LevelState, default_policy_text
from tests.e2e.freezing import freeze, seed
from tests.e2e.shop import Shop, until
from tests.e2e.story import (
    DEPENDENCY,
    NO_ANSWER,
    Story,
    allowed_s,
    breaker_opened,
    level_fell,
    p99_s,
    probe_missed,
    told,
)
from tests.fixtures.stack import RunningStack

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

POOL = 8
"""Connections of one replica: four writers, four readers (`Settings`)."""
TRIPPED = {BreakerState.OPEN, BreakerState.HALF_OPEN}
DEAD = 8
"""Connections that were given up in the freeze and that the server has not noticed yet: of four slots with a call under
way, and of the four duties for which replicas elect one of them."""


@pytest.fixture(scope="module")
def story(quick_stack: RunningStack, tmp_path_factory: pytest.TempPathFactory) -> Story:
    """Frozen for seven seconds, probed as often as the policy that ships says: every five."""
    shipped = tmp_path_factory.mktemp("shipped") / "policy.yaml"
    shipped.write_text(default_policy_text(), encoding="utf-8")
    shop = Shop(quick_stack.url("inventory-api"), quick_stack.url("flag-service"), quick_stack.operator_key())
    try:
        seed(shop)
        quick_stack.restart("health-monitor", RESILIENCE_POLICY_FILE=str(shipped))
        until("all is well", lambda: shop.level_at_flags().level is Level.OPTIMAL)
        seen = asyncio.run(freeze(quick_stack, calls_per_s=40, frozen_s=7))
    finally:
        shop.close()
        quick_stack.restore(DEPENDENCY)
        quick_stack.restart("health-monitor")
    print(told(seen))
    return seen


def test_the_engine_learns_it_from_the_breaker_before_the_probe(story: Story) -> None:
    opened, missed = story.first(breaker_opened), story.first(probe_missed)

    assert opened is not None
    assert missed is not None
    assert opened.offset < missed.offset  # of one partition: a scope is a key


def test_the_level_changes_for_that_alone(story: Story) -> None:
    fell, missed = story.first(level_fell), story.first(probe_missed)

    assert fell is not None
    assert missed is not None
    assert isinstance(fell.event, LevelState)
    assert set(fell.event.dependencies[DEPENDENCY].breakers.values()) <= TRIPPED
    assert fell.at_s < missed.at_s


def test_everybody_gets_an_answer_soon(story: Story) -> None:
    assert len(story.during()) > 100
    assert p99_s(story.during()) < allowed_s(story)
    assert {call.status for call in story.during()} <= {200, 201, 202, 503}
    assert NO_ANSWER not in {call.status for call in story.calls}


def test_reads_are_answered_all_the_while(story: Story) -> None:
    reads = [call.status for call in story.during() if call.kind in {"availability", "stock"}]
    receipts = [call.status for call in story.during() if call.kind == "receive"]

    assert set(reads) == {200}
    assert 202 in receipts


def test_all_returns_without_a_herd(story: Story) -> None:
    inventory, everybody = story.peak(story.thawed_s)
    _, everybody_before = story.peak(story.began_s, story.frozen_s)

    assert inventory <= POOL
    assert everybody <= everybody_before + DEAD
    # What was begun while the server was frozen is answered by it at once, however dead.
    assert 0 < story.sessions_in_a_second() <= 2 * POOL


@pytest.mark.usefixtures("story")
def test_metrics_count_what_the_breaker_did(quick_stack: RunningStack) -> None:
    text = httpx.get(f"{quick_stack.url('inventory-api-metrics')}/metrics", trust_env=False).text

    def counted(series: str) -> float:
        (line,) = (line for line in text.splitlines() if line.startswith(series))
        return float(line.split()[-1])

    assert counted('inventory_breaker_changes_total{dependency="postgresql",state="OPEN"}') >= 1
    assert counted('inventory_breaker_changes_total{dependency="postgresql",state="HALF_OPEN"}') >= 1
    assert counted('inventory_breaker_changes_total{dependency="postgresql",state="CLOSED"}') >= 1
    assert counted('inventory_breaker_refused_total{dependency="postgresql"}') >= 1
    assert counted('inventory_breaker_state{dependency="postgresql",state="CLOSED"}') == 1


@pytest.mark.usefixtures("story")
def test_status_shows_each_breaker(
    quick_stack: RunningStack, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RESILIENCE_STACK_DIR", str(quick_stack.root))

    assert run(["status", "--json"]) == 0

    dependencies = json.loads(capsys.readouterr().out)["level"]["dependencies"]
    shown = {name: list(seen["breakers"].values()) for name, seen in dependencies.items()}
    assert shown == {name: ["CLOSED"] for name in ("openai", "postgresql", "redis", "s3")}
