"""The main job: a dependency is really taken away, everybody learns it, answers change, all comes back."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import httpx
import pytest

from resilience_contracts import FeatureState, Level
from tests.e2e.behaviour import check_behaviour, prepare
from tests.e2e.expectations import OUTAGES, Outage
from tests.e2e.quick import quick_policy
from tests.e2e.shop import STOCK, Shop, until
from tests.fixtures.stack import RunningStack

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

POLICY = quick_policy()
DEPENDENCIES = ("openai", "postgresql", "redis", "s3")
CONFIRMED_S = 6  # a probe has missed three times after half of that


@pytest.fixture(scope="module")
def shop(shop: Shop) -> Shop:
    """Well, and with everything on its shelves that a feature needs."""
    both_at(shop, Level.OPTIMAL)
    prepare(shop)
    return shop


@pytest.fixture
def calm(quick_stack: RunningStack, shop: Shop) -> Iterator[None]:
    """Everything up before the test, and up again after it, however it ended."""
    both_at(shop, Level.OPTIMAL)
    yield
    for part in DEPENDENCIES:
        quick_stack.restore(part)


def both_at(shop: Shop, level: Level, timeout_s: float = 60) -> tuple[int, int]:
    """Wait until both consumers stand at a level, fresh; return the version at inventory-api."""

    def at(look: Callable[[], object]) -> Callable[[], object]:
        def seen() -> object:
            now = look()
            return now if now and (now.level, now.stale) == (level, False) else None  # type: ignore[attr-defined]

        return seen

    until(f"flag-service at {level.name}", at(shop.level_at_flags), timeout_s)
    seen = until(f"inventory-api at {level.name}", at(shop.level_at_inventory), timeout_s)
    return seen.version  # type: ignore[attr-defined, no-any-return]


def take_away(stack: RunningStack, outage: Outage, how: str) -> None:
    for part in outage.down:
        getattr(stack, how)(part)


@pytest.mark.parametrize("how", ["stop", "pause"])
@pytest.mark.parametrize("outage", OUTAGES, ids=lambda outage: outage.name)
@pytest.mark.usefixtures("calm")
def test_an_outage_changes_level_features_and_answers_and_is_over_afterwards(
    quick_stack: RunningStack, shop: Shop, outage: Outage, how: str
) -> None:
    before = both_at(shop, Level.OPTIMAL)
    shop.availability()

    take_away(quick_stack, outage, how)

    during = both_at(shop, outage.level)
    until(
        "the features of the table",
        lambda: shop.features_at_flags() == outage.features(POLICY) or None,
        timeout_s=15,
    )
    check_answers(shop, outage)
    check_behaviour(shop, outage.down, outage.level, POLICY)

    for part in outage.down:
        quick_stack.restore(part)
    after = both_at(shop, Level.OPTIMAL)
    assert before < during < after
    until("reservations again", lambda: shop.reserve().status_code == httpx.codes.CREATED or None)


def check_answers(shop: Shop, outage: Outage) -> None:
    """Compare each answer with the feature table's words."""
    features = outage.features(POLICY)
    read = shop.availability()
    assert read.status_code == httpx.codes.OK
    stale = features["inventory.availability"] is FeatureState.FALLBACK
    assert read.json()["stale"] is stale
    assert ("Age" in read.headers) is stale

    reserved = shop.reserve()
    if features["inventory.reservations"] is FeatureState.ENABLED:
        assert reserved.status_code == httpx.codes.CREATED
    else:
        assert_refused(reserved, "inventory.reservations")

    received = shop.receive()
    deferred = features["inventory.adjustments"] is FeatureState.FALLBACK
    assert received.status_code == (httpx.codes.ACCEPTED if deferred else httpx.codes.CREATED)

    asked = shop.ask()
    if features["integrations.ai_assistant"] is FeatureState.DISABLED:
        assert_refused(asked, "integrations.ai_assistant")
    else:
        assert asked.status_code == httpx.codes.OK

    image = shop.put_image()
    if features["integrations.media"] is FeatureState.ENABLED:
        assert image.is_success
    else:
        assert_refused(image, "integrations.media")


def assert_refused(answer: httpx.Response, feature: str) -> None:
    assert answer.status_code == httpx.codes.SERVICE_UNAVAILABLE, answer.text
    assert answer.headers["content-type"].startswith("application/problem+json")
    problem = answer.json()
    assert problem["code"] == "feature_disabled"
    assert problem["feature"] == feature
    assert problem["because"] in {"level", "dependency"}
    assert 1 <= int(answer.headers["Retry-After"]) <= 300


@pytest.mark.usefixtures("calm")
def test_what_was_accepted_while_postgresql_was_away_is_applied_once(
    quick_stack: RunningStack, shop: Shop
) -> None:
    on_hand = until("stock", shop.on_hand)
    assert on_hand >= STOCK
    quick_stack.stop("postgresql")
    both_at(shop, Level.MINIMAL)
    accepted = [shop.receive() for _ in range(20)]
    assert {answer.status_code for answer in accepted} == {httpx.codes.ACCEPTED}

    quick_stack.restore("postgresql")
    both_at(shop, Level.OPTIMAL)

    def applied() -> object:
        states = [shop.inventory.get(answer.headers["Location"]).json()["status"] for answer in accepted]
        return set(states) == {"applied"} or None

    until("every accepted command applied", applied, timeout_s=60)
    assert shop.on_hand() == on_hand + 20


@pytest.mark.parametrize(
    ("outage", "how"), [*zip(OUTAGES[:4], ("pause", "stop", "pause", "stop"), strict=True)], ids=str
)
@pytest.mark.usefixtures("calm")
def test_without_its_probe_nobody_learns_of_an_outage(
    quick_stack: RunningStack, shop: Shop, outage: Outage, how: str
) -> None:
    """The tests above can fail: where neither probe nor traffic looks, the same faults change no level."""
    before = both_at(shop, Level.OPTIMAL)
    quick_stack.restart("health-monitor", DISABLED_PROBES=outage.name)
    try:
        take_away(quick_stack, outage, how)
        with pytest.raises(AssertionError, match="not within"):
            both_at(shop, outage.level, timeout_s=CONFIRMED_S)
        quick_stack.restore(outage.name)
    finally:
        quick_stack.restart("health-monitor")
    assert both_at(shop, Level.OPTIMAL) >= before
