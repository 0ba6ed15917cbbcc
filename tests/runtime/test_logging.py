from __future__ import annotations

import json
import logging

import pytest
import structlog

from resilience_runtime import ManualClock, configure_logging
from resilience_runtime.logging import RateLimit

pytestmark = pytest.mark.usefixtures("logging_restored")


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_a_line_is_json_with_who_when_and_what(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("INFO", "json", "some-service", "one")

    structlog.get_logger("here").info("started", port=9000)

    (line,) = lines(capsys)
    assert line["service"] == "some-service"
    assert line["instance"] == "one"
    assert (line["event"], line["port"], line["level"], line["logger"]) == ("started", 9000, "info", "here")
    assert str(line["timestamp"]).endswith("Z")


def test_the_standard_librarys_loggers_come_out_the_same_way(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("INFO", "json", "some-service", "one")

    logging.getLogger("library").warning("%d things", 3)

    (line,) = lines(capsys)
    assert (line["event"], line["level"], line["service"]) == ("3 things", "warning", "some-service")


def test_an_exception_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("INFO", "json", "some-service", "one")

    try:
        len("") / len("")
    except ZeroDivisionError:
        structlog.get_logger("here").exception("failed")

    (line,) = lines(capsys)
    assert "ZeroDivisionError" in str(line["exception"])


def test_the_level_is_obeyed_and_bytes_can_be_logged(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("WARNING", "json", "some-service", "one")

    structlog.get_logger("here").info("not written")
    structlog.get_logger("here").warning("written", key=b"\xff")

    (line,) = lines(capsys)
    assert line["event"] == "written"


def test_the_console_shows_no_local_variables_of_a_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("INFO", "console", "some-service", "one")
    password = "hunter" + "2"

    try:
        password.index("x")
    except ValueError:
        structlog.get_logger("here").exception("failed")

    output = capsys.readouterr().err
    assert "ValueError" in output
    assert password not in output


def test_a_chatty_library_is_held_back_and_others_are_not(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("INFO", "json", "some-service", "one")

    for number in range(100):
        logging.getLogger("aiokafka.conn").error("Unable to connect to node %d", number)
        logging.getLogger("other").error("Unable to connect to node %d", number)

    loggers = [line["logger"] for line in lines(capsys)]
    assert loggers.count("aiokafka.conn") == 3
    assert loggers.count("other") == 100


def test_our_own_lines_about_a_broker_are_held_back_whatever_else_they_carry(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure_logging("INFO", "json", "some-service", "one")

    for number in range(100):
        structlog.get_logger("resilience_runtime.kafka.publisher").warning(
            "broker unreachable", attempt=number
        )

    assert len(lines(capsys)) == 3


async def test_the_limit_starts_anew_after_its_window_and_says_how_many_it_held_back() -> None:
    clock = ManualClock()
    limit = RateLimit(lines=2, window_s=10, monotonic=clock.monotonic)
    passed = [limit.filter(record("same")) for _ in range(5)]

    await clock.advance(10)
    later = record("same")

    assert passed == [True, True, False, False, False]
    assert limit.filter(later)
    assert later.__dict__["held_back"] == 3


def test_a_limit_does_not_grow_without_bound() -> None:
    limit = RateLimit(lines=1)

    for number in range(2000):
        limit.filter(record(f"kind {number}"))

    assert len(limit._seen) <= 500


def record(message: str) -> logging.LogRecord:
    return logging.LogRecord("aiokafka", logging.ERROR, "file", 1, message, (), None)
