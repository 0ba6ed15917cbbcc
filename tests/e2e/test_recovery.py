"""PostgreSQL comes back under readers and with a backlog: no stampede, a throttled pace, and a level that waits."""

from __future__ import annotations

import random
import threading
import time
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from functools import partial
from operator import attrgetter

import httpx
import pytest

from resilience_contracts import Level
from tests.e2e.shop import Shop, until
from tests.e2e.test_outages import both_at
from tests.fixtures.stack import RunningStack

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

SKUS = tuple(f"RECOVERY-{number:02}" for number in range(20))
READERS = 4
READ_PAUSE_S = 0.01
BACKLOG = 120
APPLIED_PER_S = 20
WAITS_AT_MOST_S = 1.0
REPORTED_S = 2.0
"""A backlog's age is looked at each second, and told to the engine twice in one."""
WINDOW_S = 2.0
STEADY_S = 4.0
SERIES = {
    'inventory_stock_reads_total{layer="authority"}': "reads",
    'inventory_commands_total{outcome="applied"}': "applied",
    "inventory_commands_waiting": "waiting",
    "inventory_commands_age_seconds": "age_s",
    "inventory_level_rank": "rank",
}


@dataclass(frozen=True)
class Sample:
    """The service's own figures at a moment: SKUs read at PostgreSQL and commands applied since its start."""

    at_s: float
    reads: float
    applied: float
    waiting: float
    age_s: float
    rank: float


@dataclass
class Story:
    """What was seen from the beginning to some seconds after the return."""

    samples: list[Sample] = field(default_factory=list)
    statuses: Counter[int | str] = field(default_factory=Counter)
    began_s: float = 0.0
    away_s: float = 0.0
    back_s: float = 0.0

    def between(self, since_s: float, until_s: float) -> list[Sample]:
        return [sample for sample in self.samples if since_s <= sample.at_s <= until_s]

    def fastest(self, samples: list[Sample], count: Callable[[Sample], float]) -> float:
        """Return the most that was counted in any two seconds, per second."""
        moments = [sample.at_s for sample in samples]
        return max(
            (count(samples[bisect_right(moments, sample.at_s + WINDOW_S) - 1]) - count(sample)) / WINDOW_S
            for sample in samples
        )


def sampled(url: str) -> Sample:
    text = httpx.get(url, timeout=5, trust_env=False).text
    found = {}
    for line in text.splitlines():
        series, _, value = line.rpartition(" ")
        if series in SERIES:
            found[SERIES[series]] = float(value)
    return Sample(time.monotonic(), **found)


class Watch:
    """Readers and a sampler beside the story."""

    def __init__(self, stack: RunningStack) -> None:
        self.story = Story()
        self._url, self._metrics_url = stack.url("inventory-api"), stack.metrics_url("inventory-api")
        self._end = threading.Event()

    def start(self) -> list[threading.Thread]:
        threads = [threading.Thread(target=self._read, args=(random.Random(n),)) for n in range(READERS)]
        threads.append(threading.Thread(target=self._sample))
        for thread in threads:
            thread.start()
        return threads

    def end(self, threads: list[threading.Thread]) -> None:
        self._end.set()
        for thread in threads:
            thread.join(30)

    def _read(self, rng: random.Random) -> None:
        with httpx.Client(base_url=self._url, timeout=5, trust_env=False) as client:
            while not self._end.wait(READ_PAUSE_S):
                try:
                    status: int | str = client.get(f"/v1/stock/{rng.choice(SKUS)}").status_code
                except httpx.HTTPError as error:
                    status = repr(error)
                self.story.statuses[status] += 1

    def _sample(self) -> None:
        while not self._end.wait(0.1):
            with suppress(httpx.HTTPError):
                self.story.samples.append(sampled(self._metrics_url))


@pytest.fixture(scope="module")
def story(quick_stack: RunningStack, shop: Shop) -> Iterator[Story]:
    settings = {"COMMANDS_PER_S": str(APPLIED_PER_S), "COMMANDS_AGE_LIMIT_S": str(WAITS_AT_MOST_S)}
    with ExitStack() as after:
        after.callback(quick_stack.restart, "inventory-api", COMMANDS_PER_S="200", COMMANDS_AGE_LIMIT_S="30")
        after.callback(quick_stack.restore, "postgresql")
        quick_stack.restart("inventory-api", **settings)
        both_at(shop, Level.OPTIMAL)
        for sku in SKUS:
            # On a busy machine the first write and the first read may come too late.
            until(f"SKU {sku}", partial(added, shop, sku))
            until(f"stock of {sku}", partial(readable, shop, sku))
        watch = Watch(quick_stack)
        after.callback(watch.end, watch.start())
        yield play(quick_stack, shop, watch.story)


def added(shop: Shop, sku: str) -> bool:
    answer = shop.post("/v1/skus", {"sku": sku, "name": sku})
    return answer.status_code in {httpx.codes.CREATED, httpx.codes.CONFLICT}


def readable(shop: Shop, sku: str) -> bool:
    return shop.inventory.get(f"/v1/stock/{sku}").is_success


def play(stack: RunningStack, shop: Shop, story: Story) -> Story:
    story.began_s = time.monotonic()
    until("a steady time", lambda: story.between(story.began_s + STEADY_S, float("inf")) or None)
    story.away_s = time.monotonic()
    stack.stop("postgresql")
    both_at(shop, Level.MINIMAL)
    statuses = {shop.receive().status_code for _ in range(BACKLOG)}
    assert statuses == {httpx.codes.ACCEPTED}
    stack.restore("postgresql")
    story.back_s = time.monotonic()
    both_at(shop, Level.OPTIMAL, timeout_s=90)
    optimal_s = time.monotonic()
    until(
        "some seconds of the best level, and nothing waiting",
        lambda: [s for s in story.between(optimal_s + 2 * WINDOW_S, float("inf")) if not s.waiting] or None,
        timeout_s=60,
    )
    return story


def test_readers_do_not_storm_back(story: Story) -> None:
    reads = attrgetter("reads")
    steady = story.fastest(story.between(story.began_s, story.away_s), reads)
    after = story.fastest(story.between(story.back_s, float("inf")), reads)

    assert steady > len(SKUS) / 4, "the readers asked PostgreSQL for next to nothing"
    assert 0 < after <= 2 * steady
    assert set(story.statuses) == {200}, story.statuses


def test_the_backlog_is_applied_at_its_pace(story: Story) -> None:
    after = story.between(story.back_s, float("inf"))

    assert after[-1].applied == BACKLOG
    assert story.fastest(after, attrgetter("applied")) <= APPLIED_PER_S + 1 / WINDOW_S


def test_the_best_level_waits_for_the_backlog(story: Story) -> None:
    after = story.between(story.back_s, float("inf"))
    waited = max(sample.age_s for sample in after)
    best = [sample for sample in after if sample.rank == Level.OPTIMAL]

    assert waited > WAITS_AT_MOST_S + REPORTED_S, "nothing waited for long enough to be waited for"
    assert max(sample.age_s for sample in best) <= WAITS_AT_MOST_S + REPORTED_S
