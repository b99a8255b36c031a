"""Logging: structlog over the standard library, one line per event, written by a thread of its own.

JSON in production, readable in development. A client's text can neither forge a line nor break one.
"""

from __future__ import annotations

import atexit
import logging
import queue
import sys
from collections.abc import Mapping, MutableMapping
from logging.handlers import QueueHandler, QueueListener
from typing import Any

import structlog
from prometheus_client import Counter

LINES_DROPPED = Counter("chat_log_lines_dropped", "Log lines that the log's queue had no room for.")

_QUEUE_SIZE = 10_000  # lines; a reader of our stderr that stalls must not stall the event loop

# Applied to structlog's events and to the standard library's records alike.
_SHARED: list[Any] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
]


class BackgroundHandler(QueueHandler):
    """Hands records to the writing thread as they are; formatting happens there. A full queue drops and counts."""

    def prepare(self, record: logging.LogRecord) -> logging.LogRecord:
        return record

    def enqueue(self, record: logging.LogRecord) -> None:
        try:
            self.queue.put_nowait(record)
        except queue.Full:
            LINES_DROPPED.inc()


def configure(*, as_json: bool, level: str) -> None:
    """Set up structlog and the standard library's root logger. Called once, by the project's settings."""
    renderer: Any = structlog.processors.JSONRenderer() if as_json else structlog.dev.ConsoleRenderer(colors=_is_tty())
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[*_SHARED, structlog.stdlib.ExtraAdder()],
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            _without_empty,
            *([structlog.processors.format_exc_info] if as_json else [_escaped]),
            renderer,
        ],
    )
    structlog.configure(
        processors=[*_SHARED, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    output = logging.StreamHandler(sys.stderr)
    output.setFormatter(formatter)
    background = BackgroundHandler(queue.Queue(_QUEUE_SIZE))
    listener = QueueListener(background.queue, output)
    listener.start()
    atexit.register(listener.stop)

    root = logging.getLogger()
    root.handlers = [background]
    root.setLevel(logging.INFO)
    for name in ("errors", "chat"):
        logging.getLogger(name).setLevel(level)
    # These repeat what is already told, per request or per frame.
    for name in ("daphne.ws_protocol", "daphne.http_protocol", "asyncio", "django.request"):
        logging.getLogger(name).setLevel(logging.WARNING if name != "django.request" else logging.ERROR)


def _is_tty() -> bool:
    return sys.stderr.isatty()


def _without_empty(_: Any, __: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:
    return {key: value for key, value in event.items() if value is not None or key in _ALWAYS}


# The fields of `chat.routing_failed` are there even when unknown, so that a query need not ask whether they are.
_ALWAYS = frozenset({"user_id", "session_id", "connection_id", "message_type", "ref"})


def _escaped(_: Any, __: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:
    """For the readable log: control characters of a value cannot begin a line of their own."""
    return {
        key: "".join(char if char.isprintable() else repr(char)[1:-1] for char in value)
        if isinstance(value, str) and key not in {"exception", "timestamp", "event"}
        else value
        for key, value in event.items()
    }
