"""Logging: structlog over the standard library, one line per event, written by a thread of its own.

JSON in production, readable in development. A client's text can neither forge a line nor break one.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping, MutableMapping
from datetime import UTC, datetime
from typing import Any

import structlog
from django.utils.functional import Promise

from errors.background import LINES_WAITING, BackgroundHandler
from errors.log_text import MAX_TRACEBACK_CHARS, indented, visible
from errors.log_values import redact_value
from errors.redaction import redact_end

RECORDED = "chat.routing_failed"  # the line of a recorded failure; its texts were redacted with the message at hand

_MAX_VALUE_CHARS = 20_000  # characters of one value of another library's record, its beginning

# Applied to structlog's events and to the standard library's records alike.
_SHARED: list[Any] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
]


_is_background = False


def is_background() -> bool:
    """Whether lines are written by the thread of `configure`; what it writes may then be made there."""
    return _is_background


def formatter(*, as_json: bool) -> structlog.stdlib.ProcessorFormatter:
    """How a record is written: one line of JSON; or readable lines, of which only the first begins at the margin."""
    renderer: Any = (
        structlog.processors.JSONRenderer()
        if as_json
        else structlog.dev.ConsoleRenderer(colors=_is_tty(), exception_formatter=structlog.dev.plain_traceback)
    )
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[*_SHARED, structlog.stdlib.ExtraAdder(), _redacted],
        processors=[
            _stamped,
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            _without_empty,
            _made,
            structlog.processors.format_exc_info,
            _redacted_exception,
            *([] if as_json else [_escaped]),
            renderer,
        ],
    )


def configure(*, as_json: bool, level: str) -> None:
    """Set up structlog and the standard library's root logger. Called once, by the project's settings."""
    structlog.configure(
        # The level first: what is not written costs next to nothing.
        processors=[
            structlog.stdlib.filter_by_level,
            *_SHARED,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    global _is_background
    _is_background = True
    # Who called, from which thread and process: in no line, and found out anew for every one. The switches are those
    # that the standard library's logging HOWTO names under "Optimization"; `stack_info=True` is ignored with them.
    logging._srcfile = None
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    root = logging.getLogger()
    handler = BackgroundHandler(sys.stderr, formatter(as_json=as_json))
    LINES_WAITING.set_function(lambda: handler.waiting)
    root.handlers = [handler]
    root.setLevel(logging.INFO)
    for name in ("errors", "chat"):
        logging.getLogger(name).setLevel(level)
    # These repeat what is already told, per request or per frame.
    for name in ("daphne.ws_protocol", "daphne.http_protocol", "asyncio", "django.request"):
        logging.getLogger(name).setLevel(logging.WARNING if name != "django.request" else logging.ERROR)


def _is_tty() -> bool:
    return sys.stderr.isatty()


def _stamped(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """When it happened, not when it is written."""
    moment = datetime.fromtimestamp(event["_record"].created, UTC)
    event["timestamp"] = moment.isoformat(timespec="microseconds").replace("+00:00", "Z")
    return event


def _without_empty(_: Any, __: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:
    return {key: value for key, value in event.items() if value is not None or key in _ALWAYS}


# The fields of `chat.routing_failed` are there even when unknown, so that a query need not ask whether they are.
_ALWAYS = frozenset({"user_id", "session_id", "connection_id", "address", "message_type", "ref"})


def _made(_: Any, __: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:
    """Text that is made when it is read is made here."""
    return {key: str(value) if isinstance(value, Promise) else value for key, value in event.items()}


def _redacted(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Other libraries' lines name what they connect to, and whatever they add to a record as `extra`."""
    event.pop("message", None)  # the event once more, where another handler has formatted the record before
    kept = {key: event.pop(key) for key in _NOT_TEXT & event.keys()}
    return {**redact_value(event, _MAX_VALUE_CHARS), **kept}


_NOT_TEXT = frozenset({"_record", "_from_structlog", "exc_info"})  # for the processors that come later


def _redacted_exception(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Exceptions that nobody recorded as a failure (a task that died, a framework's own) quote secrets too."""
    if event.get("exception") and event["event"] != RECORDED:
        event["exception"] = redact_end(event["exception"], MAX_TRACEBACK_CHARS)
    return event


def _escaped(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """For the readable log: no value can begin a line or steer a terminal, and a traceback's lines are indented."""
    shown = {visible(key): visible(value) if isinstance(value, str) else value for key, value in event.items()}
    if event.get("exception"):
        shown["exception"] = indented(event["exception"])
    return shown
