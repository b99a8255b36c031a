"""What staff are shown of an exception: its cause chain, where it was raised, its fingerprint, its traceback."""

from __future__ import annotations

import hashlib
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType

from errors import conf
from errors.exceptions import ChatError
from errors.redaction import redact_end, redact_start

_MAX_CAUSES = 20  # exceptions of one chain; a longer one is a loop or a retry storm
_MAX_MESSAGE_CHARS = 2_000  # characters of one exception's words
_MAX_FINGERPRINTS = 1_000  # causes whose last traceback time is remembered


@dataclass(frozen=True, slots=True)
class Cause:
    type: str  # dotted, as "django.db.utils.OperationalError"
    message: str  # redacted
    where: str  # "errors/report.py:12 in build"; empty if it was never raised


@dataclass(frozen=True, slots=True)
class Report:
    """Redacted; safe for staff.

    Attributes:
        causes: From what was caught down to the root.
        traceback: Empty when the same cause already had one within `traceback_interval_s`.
    """

    causes: tuple[Cause, ...]
    fingerprint: str
    traceback: str

    @property
    def root(self) -> str:
        """The innermost exception in one line: what an operator wants to read first."""
        last = self.causes[-1]
        return f"{last.type}: {last.message}" if last.message else last.type


_last_traceback: dict[str, float] = {}  # fingerprint -> monotonic seconds


def build(exc: BaseException, *, code: str, stage: str, private_texts: tuple[str, ...]) -> Report:
    chain = list(_chain(exc))
    causes = tuple(Cause(_dotted(link), _words(link, private_texts), _where(link.__traceback__)) for link in chain)
    # Same code, same step, same exceptions raised at the same places: the same cause, whatever the values were.
    places = "|".join(f"{cause.type}@{cause.where.rpartition(':')[0]}" for cause in causes)
    fingerprint = hashlib.blake2s(f"{code}|{stage}|{places}".encode(), digest_size=8).hexdigest()
    text = _traceback(exc, private_texts) if _is_due(fingerprint) else ""
    return Report(causes, fingerprint, text)


def bare(exc: BaseException) -> Report:
    """Return the least there is to say of an exception: its type."""
    return Report((Cause(_dotted(exc), "", ""),), "undescribed", "")


def _chain(exc: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    link: BaseException | None = exc
    while link is not None and id(link) not in seen and len(seen) < _MAX_CAUSES:
        seen.add(id(link))
        yield link
        link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)


def _dotted(exc: BaseException) -> str:
    kind = type(exc)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _words(exc: BaseException, private_texts: tuple[str, ...]) -> str:
    try:
        words = str(exc)
        if isinstance(exc, ChatError) and exc.metadata:
            words = f"{words} {exc.metadata!r}"
    except Exception as broken:
        # An exception whose __str__ raises must not hide itself or the failure.
        words = f"<{type(broken).__name__} while reading the message>"
    return redact_start(words, _MAX_MESSAGE_CHARS, private_texts)


def _where(tb: TracebackType | None) -> str:
    if tb is None:
        return ""
    while tb.tb_next is not None:
        tb = tb.tb_next
    code = tb.tb_frame.f_code
    return f"{code.co_qualname} in {_short(code.co_filename)}:{tb.tb_lineno}"


def _short(path: str) -> str:
    """The last three parts: enough to find the file, nothing about where the project is installed."""
    return "/".join(path.replace("\\", "/").split("/")[-3:])


def _traceback(exc: BaseException, private_texts: tuple[str, ...]) -> str:
    try:
        text = "".join(traceback.format_exception(exc))
    except Exception as broken:
        text = f"<{type(broken).__name__} while formatting the traceback>"
    return redact_end(text, conf.errors().max_traceback_chars, private_texts)


def _is_due(fingerprint: str) -> bool:
    now = time.monotonic()
    last = _last_traceback.get(fingerprint)
    if last is not None and now - last < conf.errors().traceback_interval_s:
        return False
    if len(_last_traceback) >= _MAX_FINGERPRINTS:
        _last_traceback.clear()
    _last_traceback[fingerprint] = now
    return True
