"""`get_logger`: how `errors/` and `chat/` write events, whatever the project around them has done about logging.

- It called `errors.logs.configure`, or has a configuration of structlog's: events go through that one.
- Neither: each is a record of the standard library's logger of that name, for the handlers of Django's LOGGING. Its
  message is a readable line, and every value is an attribute of it, for formatters that write JSON.
"""

from __future__ import annotations

import logging
import sys
import traceback
from collections.abc import Callable
from typing import Any, cast

import structlog
from django.utils.functional import Promise

from errors.log_text import MAX_TRACEBACK_CHARS, indented, pairs, visible
from errors.redaction import redact_end

_RESERVED = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_CALLERS_FRAME = 3  # above `_write` and the method that was called


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    """Return what has the methods of structlog's logger. How it writes is decided when it first does, not now."""
    return cast(structlog.stdlib.BoundLogger, _EventLogger(name))


class _EventLogger:
    """Asks structlog's configuration for each method; once only, where that says that its loggers may be kept."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._standard = _StandardLogger(logging.getLogger(name))

    def __getattr__(self, method: str) -> Any:
        if method.startswith("__"):
            raise AttributeError(method)  # somebody looks at the object, and logs nothing
        if not structlog.is_configured():
            return getattr(self._standard, method)
        bound = structlog.stdlib.get_logger(self._name).bind()
        found = _METHODS.get(method, getattr)(bound, method)
        if structlog.get_config()["cache_logger_on_first_use"]:
            setattr(self, method, found)
        return found


# A project's own wrapper class may know levels by another name, or by none and leave them to what comes later.
def _is_enabled_for(bound: Any, method: str) -> Callable[[int], bool]:
    if isinstance(bound, structlog.stdlib.BoundLogger):
        return bound.isEnabledFor
    return bound.is_enabled_for if hasattr(type(bound), "is_enabled_for") else lambda level: True


def _log(bound: Any, method: str) -> Callable[..., Any]:
    if hasattr(type(bound), "log"):
        return cast(Callable[..., Any], bound.log)
    return lambda level, event, **facts: getattr(bound, logging.getLevelName(level).lower())(event, **facts)


_METHODS: dict[str, Callable[[Any, str], Any]] = {"isEnabledFor": _is_enabled_for, "log": _log}


class _StandardLogger:
    """Writes an event with its values as one record of the standard library."""

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger
        self.isEnabledFor = logger.isEnabledFor

    def debug(self, event: str, **facts: Any) -> None:
        self._write(logging.DEBUG, event, facts)

    def info(self, event: str, **facts: Any) -> None:
        self._write(logging.INFO, event, facts)

    def warning(self, event: str, **facts: Any) -> None:
        self._write(logging.WARNING, event, facts)

    def error(self, event: str, **facts: Any) -> None:
        self._write(logging.ERROR, event, facts)

    def critical(self, event: str, **facts: Any) -> None:
        self._write(logging.CRITICAL, event, facts)

    def exception(self, event: str, **facts: Any) -> None:
        self._write(logging.ERROR, event, {"exc_info": True, **facts})

    def log(self, level: int, event: str, **facts: Any) -> None:
        self._write(level, event, facts)

    def _write(self, level: int, event: str, facts: dict[str, Any]) -> None:
        logger = self._logger
        if not logger.isEnabledFor(level):
            return
        facts = {**structlog.contextvars.get_contextvars(), **facts}
        trace = _traceback(facts.pop("exc_info", None)) or facts.pop("exception", None)
        path, line, function, _ = logger.findCaller(stacklevel=_CALLERS_FRAME)
        extra = {f"{key}_" if key in _RESERVED else key: _in_line(value) for key, value in facts.items()}
        extra |= {"event": event, **({"exception": trace} if trace else {})}
        record = logger.makeRecord(
            logger.name, level, path, line, pairs(event, facts), (), None, func=function, extra=extra
        )
        # Where every formatter looks. Without the exception itself, from which a handler would read the words that were
        # taken out, and the frames.
        record.exc_text = indented(trace) if trace else None
        logger.handle(record)


def _in_line(value: Any) -> Any:
    """Text as one line, also where a project's own format names the value; numbers as they are."""
    return visible(str(value)) if isinstance(value, str | Promise) else value


def _traceback(exc_info: Any) -> str | None:
    """As structlog takes it: an exception, a triple, or True for the one that is being handled."""
    exc = exc_info if isinstance(exc_info, BaseException) else None
    if exc is None and exc_info:
        exc = exc_info[1] if isinstance(exc_info, tuple) else sys.exception()
    if exc is None:
        return None
    try:
        text = "".join(traceback.format_exception(exc))
    except Exception as broken:
        text = f"{type(exc).__name__} ({type(broken).__name__} while formatting it)"
    return redact_end(text, MAX_TRACEBACK_CHARS)
