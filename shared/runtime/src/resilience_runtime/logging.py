"""Structured logs: one JSON object a line on stderr, the standard library's loggers included."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable

import structlog

from .settings import LogFormat, LogLevel
from .trace_context import current_trace_id

QUIETED = ("aiokafka", "resilience_runtime.kafka", "opentelemetry")
WINDOW_S = 10.0
LINES_PER_WINDOW = 3
MAX_KEYS = 500


class RateLimit(logging.Filter):
    """Lets the first few records of a kind through in each window, and says later how many it held back.

    A kind is a logger and its message without arguments; while a broker is away, aiokafka writes 35 a second; a
    collector of traces that is away is told of with every batch.
    """

    def __init__(
        self,
        lines: int = LINES_PER_WINDOW,
        window_s: float = WINDOW_S,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__()
        self._lines = lines
        self._window_s = window_s
        self._monotonic = monotonic
        self._seen: dict[tuple[str, str], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Decide on a record."""
        event = record.msg.get("event") if isinstance(record.msg, dict) else record.msg
        kind = (record.name, str(event)[:200])
        now_s = self._monotonic()
        start_s, seen = self._seen.get(kind, (float("-inf"), 0))
        if now_s - start_s < self._window_s:
            self._seen[kind] = (start_s, seen + 1)
            return seen < self._lines
        if seen > self._lines:
            record.__dict__["held_back"] = seen - self._lines
        self._begin(kind, now_s)
        return True

    def _begin(self, kind: tuple[str, str], now_s: float) -> None:
        if len(self._seen) >= MAX_KEYS:
            self._seen.clear()
        self._seen[kind] = (now_s, 1)


def configure_logging(level: LogLevel | str, format: LogFormat | str, service: str, instance: str) -> None:  # noqa: A002 - the setting's name
    """Route structlog and the standard library to stderr, each line with `service` and `instance`."""
    shared = _shared_processors(service, instance)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[structlog.stdlib.ExtraAdder(allow=["held_back"]), *shared],
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            *_renderers(LogFormat(format)),
        ],
    )
    _route(formatter, LogLevel(level))


def _shared_processors(service: str, instance: str) -> list[structlog.typing.Processor]:
    def name_service(
        _logger: structlog.typing.WrappedLogger, _method: str, event: structlog.typing.EventDict
    ) -> structlog.typing.EventDict:
        trace_id = current_trace_id()
        trace = {"trace_id": trace_id} if trace_id else {}
        return {"service": service, "instance": instance, **trace, **event}

    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        name_service,
    ]


def _renderers(style: LogFormat) -> list[structlog.typing.Processor]:
    if style is LogFormat.JSON:
        return [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(default=str)]
    return [
        structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(),
            # The default one prints local variables, secrets among them.
            exception_formatter=structlog.dev.plain_traceback,
        )
    ]


def _route(formatter: logging.Formatter, level: LogLevel) -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    limit = RateLimit()
    handler.addFilter(lambda record: not record.name.startswith(QUIETED) or limit.filter(record))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logging.getLogger(name).handlers.clear()
        logging.getLogger(name).propagate = True
    for name in ("uvicorn.error", "httpx", "httpcore"):  # a line for each request and connection
        logging.getLogger(name).setLevel(max(logging.WARNING, logging.getLevelName(level)))
