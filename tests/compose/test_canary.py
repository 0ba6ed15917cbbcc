"""`infra/canary`, as the runbook has it: a bad version is stopped and rolled back by itself, a good one stays."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import uuid
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from io import BytesIO
from itertools import cycle
from pathlib import Path
from threading import Event, Thread
from typing import Self

import docker  # type: ignore[import-untyped]  # it has no types
import httpx
import pytest
from docker.models.containers import Container  # type: ignore[import-untyped]  # it has no types

from resilience_contracts import Level
from tests.compose.test_composition import url
from tests.e2e.shop import LOCATION, SKU, STOCK, Shop, until

pytestmark = pytest.mark.timeout(420)

RUNBOOK = Path("docs/runbooks/deployment.md")
PROJECT = os.environ["COMPOSE_PROJECT_NAME"]
CALM_S = 240
"""A level that was worse while all began returns when that is two minutes ago."""
WATCHED = "20s"
CANARY_S = 150
PACE_S = 0.04
BROKEN = """
from runpy import run_module
from inventory_api.application.stock_reader import StockReader

async def many(*_):
    raise RuntimeError("this version reads no stock")

StockReader.many = many
run_module("inventory_api", run_name="__main__")
"""


def runs(program: str) -> str:
    return f"CMD {json.dumps(['python', '-c', program])}"


VERSIONS = {
    "good": 'LABEL version="next"',
    "ends": runs("raise SystemExit('this version does not start')"),
    "fails": runs(BROKEN),
}
"""What differs from the image that runs."""


def inventory_api(engine: docker.DockerClient) -> Container:
    labels = [f"com.docker.compose.project={PROJECT}", "com.docker.compose.service=inventory-api"]
    (container,) = engine.containers.list(filters={"label": labels})
    return container


def running_image(engine: docker.DockerClient) -> str:
    return str(inventory_api(engine).attrs["Image"])


@pytest.fixture(scope="module")
def images(engine: docker.DockerClient) -> Iterator[Mapping[str, str]]:
    """The versions, by name."""
    before = inventory_api(engine).attrs["Config"]["Image"]
    tags = {name: f"{PROJECT}-canary:{name}" for name in VERSIONS}
    for name, line in VERSIONS.items():
        file = BytesIO(f"FROM {before}\n{line}\n".encode())
        engine.images.build(fileobj=file, tag=tags[name], rm=True)
    yield tags
    for tag in tags.values():
        engine.images.remove(tag, force=True)


@pytest.fixture(scope="module")
def shop() -> Iterator[Shop]:
    """A shop that has stock."""
    with closing(Shop(url("INVENTORY_API_PORT"), url("FLAG_SERVICE_PORT"), "")) as shop:
        shop.seed()
        yield shop


class Customers:
    """Ask for stock some twenty times a second, and hold one every tenth time.

    Attributes:
        answers: the status of each answer, 0 where there was none.
        held: the reservations that were accepted.
    """

    def __init__(self, shop: Shop) -> None:
        self.answers: list[int] = []
        self.held: list[str] = []
        self._shop = shop
        self._key = uuid.uuid4().hex
        self._gone = Event()
        self._thread = Thread(target=self._come)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._gone.set()
        self._thread.join()

    def are_served(self, times: int = 25) -> None:
        """Wait for so many answers from now; each is as it should be."""
        seen = len(self.answers)
        until(f"{times} answers", lambda: len(self.answers) >= seen + times)
        assert set(self.answers[seen:]) == {200, 201}

    def _come(self) -> None:
        for wish in cycle([self._hold, *[self._shop.availability] * 9]):
            try:
                self.answers.append(wish().status_code)
            except httpx.TransportError:
                self.answers.append(0)
            if self._gone.wait(PACE_S):
                return

    def _hold(self) -> httpx.Response:
        """Hold one; who had no answer asks again with the same key."""
        lines = [{"sku": SKU, "location": LOCATION, "quantity": 1}]
        body = {"owner_ref": "canary", "lines": lines, "ttl_s": 3600}
        answer = self._shop.post("/v1/reservations", body, self._key)
        if answer.status_code == 201:
            self.held.append(answer.json()["id"])
            self._key = uuid.uuid4().hex
        return answer


def reserved(shop: Shop) -> int:
    """Return how many are held, of the present and not of what was last known."""

    def counted() -> int | None:
        stock = shop.inventory.get(f"/v1/stock/{SKU}").raise_for_status().json()
        return None if stock["stale"] else sum(level["reserved"] for level in stock["locations"])

    return until("the present stock", counted)


@contextmanager
def customers(shop: Shop) -> Iterator[Customers]:
    """They come to a shop that is well, and all that was accepted of them is there afterwards, once."""

    def well() -> bool:
        seen = shop.level_at_flags()
        return seen.level is Level.OPTIMAL and not seen.stale

    until("OPTIMAL", well, CALM_S)
    before = reserved(shop)
    with Customers(shop) as coming:
        coming.are_served()
        yield coming
        coming.are_served()
    states = {shop.inventory.get(f"/v1/reservations/{each}").json()["state"] for each in coming.held}
    assert states == {"ACTIVE"}
    assert reserved(shop) - before == len(coming.held)
    assert shop.on_hand() == STOCK


@contextmanager
def canary(image: str, lasts: str) -> Iterator[subprocess.Popen[str]]:
    """The command of the runbook, with this image and this length of time; nothing of it is left."""
    (line,) = re.findall(r"^    (infra/canary .*)$", RUNBOOK.read_text(encoding="utf-8"), re.MULTILINE)
    script, _, option, _ = shlex.split(line)
    words = [script, image, option, lasts]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, start_new_session=True) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)


@dataclass(frozen=True, slots=True)
class Done:
    """How it ended, what it said, and what of that after the version was ready."""

    code: int
    said: str

    @property
    def judged(self) -> str:
        return self.said.partition("READY")[2]


def done(image: str) -> Done:
    with canary(image, WATCHED) as process:
        said, _ = process.communicate(timeout=CANARY_S)
    return Done(process.returncode, said)


def test_a_version_that_ends_at_once_is_rolled_back(
    engine: docker.DockerClient, images: Mapping[str, str], shop: Shop
) -> None:
    before = running_image(engine)

    with customers(shop):
        seen = done(images["ends"])

    assert (seen.code, running_image(engine)) == (1, before), seen.said
    assert "it ended by itself" in seen.said


def test_a_version_that_answers_500_is_stopped_by_the_gate_and_rolled_back(
    engine: docker.DockerClient, images: Mapping[str, str], shop: Shop
) -> None:
    before = running_image(engine)

    with customers(shop) as coming:
        seen = done(images["fails"])

    assert (seen.code, running_image(engine)) == (1, before), seen.said
    assert 500 in coming.answers
    assert re.search(r"STOP  after .* requests at .* failed", seen.judged), seen.said


def test_a_version_whose_canary_is_told_to_end_is_rolled_back(
    engine: docker.DockerClient, images: Mapping[str, str], shop: Shop
) -> None:
    before = running_image(engine)

    with customers(shop), canary(images["good"], "10m") as process:
        assert process.stdout
        assert any(line.startswith("READY") for line in process.stdout)
        between = running_image(engine)
        process.terminate()
        said, _ = process.communicate(timeout=CANARY_S)

    assert between == engine.images.get(images["good"]).id
    assert (process.returncode, running_image(engine)) == (1, before), said


def test_a_good_version_stays(engine: docker.DockerClient, images: Mapping[str, str], shop: Shop) -> None:
    with customers(shop) as coming:
        seen = done(images["good"])

    assert (seen.code, running_image(engine)) == (0, engine.images.get(images["good"]).id), seen.said
    assert "GO  nothing got worse" in seen.judged
    assert 500 not in coming.answers


@pytest.mark.parametrize(
    "words", [[], ["image"], ["image", "--for", "soon"], ["--for", "10m", "image"], ["", "--for", "10m"]]
)
def test_wrong_usage_is_one_line(words: list[str]) -> None:
    called = subprocess.run(["infra/canary", *words], capture_output=True, text=True, check=False, timeout=30)

    assert (called.returncode, called.stdout) == (2, "")
    assert called.stderr == "usage: infra/canary IMAGE --for 10m\n"


def test_an_image_that_is_nowhere_changes_nothing(engine: docker.DockerClient) -> None:
    before = inventory_api(engine).id
    words = ["infra/canary", "localhost:1/nowhere:1", "--for", "10m"]

    called = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)

    assert (called.returncode, inventory_api(engine).id) == (3, before)
    assert "Remedy: build it" in called.stderr
