"""What an OpenAI-compatible server's failures are called here. Its own words stay in the private detail, cut short."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from errors.exceptions import ChatError
from errors.taxonomy import (
    CONTEXT_TOO_LONG,
    LLM_OVERLOADED,
    LLM_REFUSED,
    LLM_TIMEOUT,
    LLM_UNAVAILABLE,
    REPLY_INTERRUPTED,
    ErrorSpec,
)

_MAX_DETAIL_CHARS = 300
_MAX_RETRY_AFTER_S = 600.0  # seconds; a provider's mistake must not lock people out for a day
_DEFAULT_OVERLOAD_MS = 5_000
_OVERLOADED = {429, 503, 529}
_QUOTA = {"insufficient_quota", "billing_hard_limit_reached"}
_TOO_LONG = {"context_length_exceeded", "string_above_max_length"}
_FILTERED = {"content_filter", "content_policy_violation"}


def translate(exc: Exception, *, has_text: bool) -> ChatError:
    """Return the `ChatError` for what the SDK raised, or for JSON that was none.

    Once text has arrived every fault is REPLY_INTERRUPTED: whatever its reason, what the person sees broke off.
    """
    import openai  # heavy; whoever has such an exception has loaded it

    detail = f"{type(exc).__name__}: {exc}"[:_MAX_DETAIL_CHARS]
    code = _code_of(exc)
    if code in _FILTERED:
        return ChatError(LLM_REFUSED, detail=detail)
    if has_text:
        return ChatError(REPLY_INTERRUPTED, detail=detail)
    if isinstance(exc, openai.APITimeoutError):
        return ChatError(LLM_TIMEOUT, detail=detail)
    if isinstance(exc, openai.APIStatusError):
        if code in _TOO_LONG:
            return ChatError(CONTEXT_TOO_LONG, detail=detail)
        if exc.status_code in _OVERLOADED and code not in _QUOTA and not _is_page(exc):
            return ChatError(LLM_OVERLOADED, retry_after_ms=retry_after_ms(exc), detail=detail)
    return ChatError(LLM_UNAVAILABLE, detail=detail)


def is_transient(error: ChatError) -> bool:
    """Whether the same request may succeed in a moment."""
    transient: tuple[ErrorSpec, ...] = (LLM_UNAVAILABLE, LLM_OVERLOADED)
    return error.spec in transient and _has_transient_cause(error.__cause__)


def _has_transient_cause(exc: BaseException | None) -> bool:
    import openai

    if isinstance(exc, openai.APIStatusError):
        is_momentary = exc.status_code >= 500 or exc.status_code in {408, 409, 429}
        return is_momentary and _code_of(exc) not in _QUOTA
    return isinstance(exc, openai.APIConnectionError)


def retry_after_ms(exc: Any) -> int:
    """Return the server's `Retry-After` (seconds, or a date) in milliseconds, within bounds; garbage is our default."""
    text = exc.response.headers.get("retry-after", "")
    try:
        seconds = float(text)
    except ValueError:
        try:
            moment = parsedate_to_datetime(text)
            seconds = (moment.astimezone(UTC) - datetime.now(UTC)).total_seconds()
        except (ValueError, TypeError, OverflowError):
            return _DEFAULT_OVERLOAD_MS
    if not seconds < _MAX_RETRY_AFTER_S:  # also what is no number
        seconds = _MAX_RETRY_AFTER_S
    return int(max(1.0, seconds) * 1000)


def _code_of(exc: Exception) -> str | None:
    body = getattr(exc, "body", None)
    if not isinstance(body, dict):
        return None
    code = body.get("code") or body.get("type")
    return code if isinstance(code, str) else None


def _is_page(exc: Any) -> bool:
    """A proxy's HTML in the server's place says that nobody is there, not that somebody is busy."""
    return exc.status_code == 503 and "json" not in exc.response.headers.get("content-type", "json")


FAULTS_OF_BODIES = (json.JSONDecodeError, UnicodeDecodeError)  # the SDK lets these through as they are
