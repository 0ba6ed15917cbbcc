"""The client beside what theory says of a server that stalls, and of what it carries from one answer to the next."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from time import perf_counter

import pytest

from tests.bench.inventory_client import MADE, Answer, Kind, Plan, client, drive, request

LOOK = Kind("look", 1, (request("GET", "/look"),))
PER_S, SECONDS, STALL = 200, 1.5, (0.5, 1.0)
NEAR_S, BUSY_S = 0.1, 0.4
"""A figure may be less than the theory by so much, and more by what a busy machine adds."""

Reply = Callable[[str, float], tuple[float, int, dict[str, str]]]
"""From a path and the seconds since the first request: how long to wait, the status, and headers."""


@contextmanager
def serving(reply: Reply) -> Iterator[int]:
    """Serve, a thread for each connection; give the port."""
    end = threading.Event()
    began_s: list[float] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            began_s.append(perf_counter())
            wait_s, status, headers = reply(self.path, perf_counter() - began_s[0])
            if end.wait(wait_s):
                return
            self.send_response_only(status)
            for name, value in {"content-length": "0", **headers}.items():
                self.send_header(name, value)
            self.end_headers()

        do_POST = do_GET  # noqa: N815 - so http.server calls it

    class Server(ThreadingHTTPServer):
        request_queue_size = 128

    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server.server_port
        finally:
            end.set()
            server.shutdown()
            thread.join(10)


def well(*_: object) -> tuple[float, int, dict[str, str]]:
    return 0.0, 200, {}


def stalling(_: str, at_s: float) -> tuple[float, int, dict[str, str]]:
    begin_s, end_s = STALL
    return (end_s - at_s if begin_s <= at_s < end_s else 0.0), 200, {}


@pytest.fixture(scope="module")
def pool() -> Iterator[ProcessPoolExecutor]:
    with client() as pool:
        yield pool


def test_a_stall_shows_as_all_the_requests_that_waited_for_its_end(pool: ProcessPoolExecutor) -> None:
    """Of 1.5 s at an even pace a third waited, evenly up to half a second: quantile q is half of 3 q - 2 s."""
    with serving(stalling) as port:
        outcomes, _ = pool.submit(drive, Plan(port, [LOOK], SECONDS, 8, PER_S)).result()

    look = outcomes["look"]
    assert len(look.took_s) == PER_S * SECONDS
    for quantile in (0.75, 0.9, 0.95, 0.99):
        waited_s = (3 * quantile - 2) / 2
        assert waited_s - NEAR_S < look.ms(quantile) / 1000 < waited_s + BUSY_S, quantile
    assert look.ms(0.5) / 1000 < BUSY_S


def test_who_asks_again_once_answered_hides_the_same_stall(pool: ProcessPoolExecutor) -> None:
    with serving(stalling) as port:
        outcomes, _ = pool.submit(drive, Plan(port, [LOOK], SECONDS, 8)).result()

    due_s = outcomes["look"].due_s
    meanwhile = [at_s for at_s in due_s if STALL[0] + NEAR_S < at_s - min(due_s) < STALL[1] - NEAR_S]
    assert len(due_s) > 50
    assert not meanwhile, "all eight were stuck in it, and nobody counted who else would have been"


def test_a_confirmation_is_of_a_hold_and_each_hold_is_confirmed_once(pool: ProcessPoolExecutor) -> None:
    paths: Counter[str] = Counter()

    def reply(path: str, _: float) -> tuple[float, int, dict[str, str]]:
        paths[path] += 1
        return (0.0, 201, {"Location": f"/v1/reservations/{paths[path]}"}) if path == "/hold" else well()

    hold = Kind("hold", 0.2, (request("POST", "/hold"),))
    confirm = Kind("confirm", 0.4, (request("POST", f"{MADE}/confirm"),), of="hold")
    with serving(reply) as port:
        outcomes, _ = pool.submit(
            drive, Plan(port, [Kind("look", 0.4, LOOK.requests), hold, confirm], 1.0, 4, 100)
        ).result()

    held = len(outcomes["hold"].took_s)
    confirmed = [path for path in paths if "/confirm" in path]
    assert held == 20
    assert set(confirmed) <= {f"/v1/reservations/{number}/confirm" for number in range(1, held + 1)}
    assert (
        len(confirmed)
        == sum(paths[path] for path in confirmed)
        == len(outcomes["confirm"].took_s)
        >= held - 2
    )
    assert len(outcomes["look"].took_s) == 100 - held - len(confirmed), "the turns that were left over"


def test_answers_are_told_apart_and_who_hangs_up_is_asked_again(pool: ProcessPoolExecutor) -> None:
    answers: dict[str, tuple[int, dict[str, str]]] = {
        "/well": (200, {}),
        "/old": (200, {"Age": "7"}),
        "/later": (202, {}),
        "/off": (503, {"Retry-After": "3"}),
        "/silent": (503, {}),
        "/gone": (200, {"Connection": "close"}),
    }
    kinds = [Kind(path, 1, (request("GET", path),)) for path in answers]
    with serving(lambda path, _: (0.0, *answers[path])) as port:
        outcomes, _ = pool.submit(drive, Plan(port, kinds, 1.2, 2, 100)).result()

    assert {path: set(outcome.answers) for path, outcome in outcomes.items()} == {
        "/well": {Answer.SERVED},
        "/old": {Answer.STALE},
        "/later": {Answer.LATER},
        "/off": {Answer.REFUSED},
        "/silent": {Answer.WRONG},
        "/gone": {Answer.SERVED},
    }
    assert outcomes["/silent"].unexplained == 20


def test_what_is_never_answered_is_counted_where_it_belongs(pool: ProcessPoolExecutor) -> None:
    prompt = Kind("/well", 1, (request("GET", "/well"),))
    never = Kind("/never", 1, (request("GET", "/never"),))
    with serving(lambda path, _: (3600.0 if path == "/never" else 0.0, 200, {})) as port:
        outcomes, _ = pool.submit(drive, Plan(port, [prompt, never], 0.2, 20, 100, give_up_s=2)).result()

    assert outcomes["/well"].answers == [Answer.SERVED] * 10
    assert outcomes["/never"].answers == [Answer.NONE] * 10


def test_who_thinks_asks_less_often(pool: ProcessPoolExecutor) -> None:
    with serving(well) as port:
        outcomes, _ = pool.submit(drive, Plan(port, [LOOK], 1.0, 50, think_s=(0.1, 0.3))).result()

    assert 60 < len(outcomes["look"].took_s) < 50 * 1.0 / 0.2 * 1.1
    assert outcomes["look"].ms(0.5) / 1000 < BUSY_S
