from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import AbstractContextManager

import pytest

from resilience_runtime import StartupError, run
from tests.fixtures.processes import ended

PROGRAM = """
from __future__ import annotations
import asyncio, resource, sys, time
from resilience_runtime import StartupError, configure_logging, run, run_service
configure_logging("INFO", "json", "test", "one")
async def wait():
    try:
        print("up", flush=True)
        await asyncio.Event().wait()
    finally:
        print("cleaned", flush=True)
async def deaf():
    while True:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            pass
async def hanging_thread():
    await asyncio.to_thread(time.sleep, 60)
async def broken():
    raise ZeroDivisionError
async def exhausted():
    await asyncio.to_thread(print, "up", flush=True)
    vms = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (vms, resource.RLIM_INFINITY))
    raise MemoryError
async def refused():
    raise StartupError("PORT=1 is taken")
async def main():
    return await run(TASKS, stop_deadline_s=0.5)
run_service(MAIN)
"""


def program(tasks: str, main: str = "main") -> AbstractContextManager[subprocess.Popen[str]]:
    source = PROGRAM.replace("TASKS", tasks).replace("MAIN", main)
    return ended(
        subprocess.Popen(
            [sys.executable, "-c", source], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_cleans_up_and_is_code_0(number: signal.Signals) -> None:
    with program("wait(), wait()") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        assert process.stdout.readline() == "up\n"
        process.send_signal(number)
        output, _ = process.communicate(timeout=10)

    assert process.returncode == 0
    assert output == "cleaned\ncleaned\n"


def test_a_task_that_raises_stops_the_others_and_is_code_1() -> None:
    with program("wait(), broken()") as process:
        output, errors = process.communicate(timeout=10)

    assert process.returncode == 1
    assert output == "up\ncleaned\n"
    (crash,) = [json.loads(line) for line in errors.splitlines()]
    assert crash["where"] == "broken"
    assert crash["exception"].endswith("ZeroDivisionError")


def test_a_service_without_memory_for_another_thread_ends_with_code_1_and_a_line_for_each_reason() -> None:
    with program("exhausted()") as process:
        _, errors = process.communicate(timeout=10)

    assert process.returncode == 1
    crash, close = [json.loads(line) for line in errors.splitlines()]
    assert (crash["event"], crash["where"]) == ("crashed", "exhausted")
    assert (close["event"], close["reason"]) == ("cannot close", "can't start new thread")


def test_a_refused_start_is_one_line_and_code_2() -> None:
    with program("refused()") as process:
        _, errors = process.communicate(timeout=10)

    assert process.returncode == 2
    (line,) = [json.loads(line) for line in errors.splitlines()]
    assert (line["event"], line["reason"]) == ("cannot start", "PORT=1 is taken")
    assert "exception" not in line


def test_an_exception_of_main_is_code_1() -> None:
    with program("wait()", main="broken") as process:
        process.communicate(timeout=10)

    assert process.returncode == 1


@pytest.mark.parametrize("task", ["deaf()", "hanging_thread()"])
def test_what_does_not_end_is_ended(task: str) -> None:
    with program(f"wait(), {task}") as process:
        assert process.stdout is not None
        process.stdout.readline()
        began_s = time.monotonic()
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=20)

    assert time.monotonic() - began_s < 8
    assert process.returncode == (1 if task == "deaf()" else 0)


async def test_tasks_that_return_are_code_0() -> None:
    assert await run(asyncio.sleep(0), asyncio.sleep(0.01)) == 0


async def test_one_returning_task_does_not_stop_the_others() -> None:
    done: list[str] = []

    async def slow() -> None:
        await asyncio.sleep(0.05)
        done.append("slow")

    assert await run(asyncio.sleep(0), slow()) == 0
    assert done == ["slow"]


async def test_a_refused_start_wins_over_nothing_else() -> None:
    async def refused() -> None:
        raise StartupError("no")

    assert await run(refused(), asyncio.sleep(60)) == 2


async def test_a_signal_is_no_longer_ours_afterwards() -> None:
    before = signal.getsignal(signal.SIGTERM)

    async def stop_soon() -> None:
        await asyncio.sleep(0)
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.sleep(60)

    assert await run(stop_soon()) == 0
    assert signal.getsignal(signal.SIGTERM) == before
