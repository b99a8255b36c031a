"""What staff are shown of an exception: its cause chain, where it was raised, its fingerprint, its traceback.

In two steps. `sketch` runs where the exception was caught: it notes types, places and words, and lets go of the
exception, whose traceback would keep every frame on its way alive, and with them what the client sent. The words are
redacted when somebody first reads the report: the thread that writes the log, or the one that writes the row.
"""

from __future__ import annotations

import functools
import hashlib
import logging
import threading
import time
import traceback
import weakref
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType

from errors import conf, metrics
from errors.exceptions import ChatError
from errors.redaction import MARGIN, Redactor

log = logging.getLogger("errors.report")

_MAX_CAUSES = 20  # exceptions of one chain; a longer one is a loop or a retry storm
_MAX_MESSAGE_CHARS = 2_000  # characters of one exception's words
_MAX_FINGERPRINTS = 1_000  # causes whose last traceback time is remembered
_MAX_WAITING_CHARS = 8_000_000  # characters of what nobody has read yet, 8 to 32 MB; then the oldest lose their words
_LOST = "(the words are lost)"


@dataclass(frozen=True, slots=True)
class Cause:
    type: str  # dotted, as "django.db.utils.OperationalError"
    message: str  # redacted
    where: str  # "build in errors/report.py:12"; empty if it was never raised


@dataclass(frozen=True, slots=True)
class _Told:
    """Redacted; safe for staff."""

    causes: tuple[Cause, ...]
    traceback: str


@dataclass(slots=True)
class _Raw:
    """What was said, and the words of the exceptions as they are. Holds no exception."""

    words: tuple[str, ...]
    traceback: traceback.TracebackException | None
    private_texts: tuple[str, ...]


class Report:
    """What there is to say of one failure; its words are redacted when they are first read, by whatever thread.

    Attributes:
        fingerprint: The same for failures of one cause.
        has_traceback: False when the same cause already had one within `traceback_interval_s`.
    """

    __slots__ = ("__weakref__", "_places", "_raw", "_told", "fingerprint", "has_traceback")

    def __init__(self, fingerprint: str, places: tuple[tuple[str, str], ...], raw: _Raw | None = None) -> None:
        self.fingerprint = fingerprint
        self.has_traceback = raw is not None and raw.traceback is not None
        self._places = places  # (type, where) of each exception, from what was caught down to the root
        self._raw = raw
        self._told: _Told | None = None

    @property
    def causes(self) -> tuple[Cause, ...]:
        """From what was caught down to the root."""
        return self._read().causes

    @property
    def traceback(self) -> str:
        return self._read().traceback

    @property
    def root(self) -> str:
        """The innermost exception in one line: what an operator wants to read first."""
        last = self.causes[-1]
        return f"{last.type}: {last.message}" if last.message else last.type

    @property
    def is_waiting(self) -> bool:
        return self._raw is not None

    def forget_words(self) -> None:
        """Keep types and places only, unless the words have been read."""
        self._raw = None

    def _read(self) -> _Told:
        if self._told is None:
            with _reading:
                if self._told is None:
                    self._told = _redacted(self._places, self._raw)
                self._raw = None
        return self._told


_reading = threading.Lock()  # two threads that read one report must not both do the work
_last_traceback: dict[str, float] = {}  # fingerprint -> monotonic seconds


def sketch(exc: BaseException, *, code: str, stage: str, private_texts: tuple[str, ...]) -> Report:
    chain = list(_chain(exc))
    places = tuple([(_dotted(type(link)), _where(link.__traceback__)) for link in chain])
    fingerprint = _fingerprint(code, stage, places)
    words = [_words(link) for link in chain]
    raw = _Raw(
        tuple([text[: _MAX_MESSAGE_CHARS + MARGIN] for text in words]),
        _unformatted(exc) if _is_due(fingerprint) else None,
        private_texts,
    )
    report = Report(fingerprint, places, raw)
    _waiting.add(report, sum(map(len, private_texts)) + sum(map(len, words if raw.traceback else raw.words)))
    return report


def bare(exc: BaseException) -> Report:
    """Return the least there is to say of an exception: its type."""
    return Report("undescribed", ((_dotted(type(exc)), ""),), _Raw(("",), None, ()))


class _Waiting:
    """The reports that nobody has read yet, oldest first. Bounds the memory of what they hold."""

    def __init__(self) -> None:
        self._reports: deque[tuple[weakref.ref[Report], int]] = deque()
        self._chars = 0
        self._lock = threading.Lock()

    def add(self, report: Report, chars: int) -> None:
        with self._lock:
            self._reports.append((weakref.ref(report), chars))
            self._chars += chars
            while self._reports:
                oldest = self._reports[0][0]()
                if oldest is not None and oldest.is_waiting:
                    if self._chars <= _MAX_WAITING_CHARS:
                        return
                    oldest.forget_words()
                self._chars -= self._reports.popleft()[1]


_waiting = _Waiting()


# --- Where the exception was caught -----------------------------------------------------------------------------------


def _chain(exc: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    link: BaseException | None = exc
    while link is not None and id(link) not in seen and len(seen) < _MAX_CAUSES:
        seen.add(id(link))
        yield link
        link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)


def _dotted(kind: type[BaseException]) -> str:
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _words(exc: BaseException) -> str:
    try:
        words = str(exc)
        if isinstance(exc, ChatError) and exc.metadata:
            words = f"{words} {exc.metadata!r}"
    except Exception as broken:
        # An exception whose __str__ raises must not hide itself or the failure.
        words = f"<{type(broken).__name__} while reading the message>"
    return words


def _where(tb: TracebackType | None) -> str:
    if tb is None:
        return ""
    while tb.tb_next is not None:
        tb = tb.tb_next
    code, module = tb.tb_frame.f_code, tb.tb_frame.f_globals.get("__name__")
    return _place(code.co_qualname, module if type(module) is str else "", code.co_filename, tb.tb_lineno)


@functools.lru_cache(maxsize=_MAX_FINGERPRINTS)
def _place(function: str, module: str, path: str, line: int) -> str:
    """As "renew in chat/sessions.py:43": the file as its module is imported, wherever the project is installed."""
    file = path.replace("\\", "/").rpartition("/")[2]
    name = file.partition(".")[0]
    package, _, last = module.rpartition(".")
    if name == "__init__":
        package = module
    elif name != last:
        package = ""  # started as a script, or made of a text: what the module is called does not lead to the file
    return f"{function} in {package.replace('.', '/')}/{file}:{line}" if package else f"{function} in {file}:{line}"


@functools.lru_cache(maxsize=_MAX_FINGERPRINTS)
def _fingerprint(code: str, stage: str, places: tuple[tuple[str, str], ...]) -> str:
    """Same code, same step, same exceptions raised at the same places: the same cause, whatever the values were."""
    text = "|".join(f"{kind}@{where.rpartition(':')[0]}" for kind, where in places)
    return hashlib.blake2s(f"{code}|{stage}|{text}".encode(), digest_size=8).hexdigest()


def _is_due(fingerprint: str) -> bool:
    now = time.monotonic()
    last = _last_traceback.get(fingerprint)
    if last is not None and now - last < conf.errors().traceback_interval_s:
        return False
    if len(_last_traceback) >= _MAX_FINGERPRINTS:
        _last_traceback.clear()
    _last_traceback[fingerprint] = now
    return True


def _unformatted(exc: BaseException) -> traceback.TracebackException | None:
    """Where each exception passed and what it says; the lines of code are read when it is formatted."""
    try:
        return traceback.TracebackException(type(exc), exc, exc.__traceback__, lookup_lines=False, compact=True)
    except Exception:
        return None  # some exceptions cannot even be looked at; their types and places are there


# --- Where the report is read -----------------------------------------------------------------------------------------


def _redacted(places: tuple[tuple[str, str], ...], raw: _Raw | None) -> _Told:
    if raw is not None:
        try:
            return _told(places, raw)
        except Exception as broken:
            # A defect in here must not cost the line or the row.
            metrics.SINK_FAULTS.labels("describe").inc()
            log.error("a failure cannot be described: %s", type(broken).__name__)
    return _Told(tuple([Cause(kind, _LOST, where) for kind, where in places]), "")


def _told(places: tuple[tuple[str, str], ...], raw: _Raw) -> _Told:
    limit = conf.errors().max_traceback_chars
    text = _format(raw.traceback)[-limit - MARGIN :] if raw.traceback else ""
    redactor = Redactor(raw.private_texts, (*raw.words, text))
    causes = tuple(
        [
            Cause(kind, redactor.redact_start(words, _MAX_MESSAGE_CHARS), where)
            for (kind, where), words in zip(places, raw.words, strict=True)
        ]
    )
    return _Told(causes, redactor.redact_end(text, limit))


def _format(unformatted: traceback.TracebackException) -> str:
    try:
        return "".join(unformatted.format())
    except Exception as broken:
        return f"<{type(broken).__name__} while formatting the traceback>"
