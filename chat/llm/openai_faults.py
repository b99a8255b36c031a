"""Which of our errors an OpenAI-compatible server's failures are. Its words stay in the private detail, cut short."""

from __future__ import annotations

from collections.abc import Mapping
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
_MAX_WORDS_CHARS = 2_000  # characters of a message that are looked at
_MAX_RETRY_AFTER_S = 600.0  # seconds; a provider's mistake must not lock people out for a day
_DEFAULT_OVERLOAD_MS = 5_000

# Servers put these into `code`, `type` or `param`, as they like.
_QUOTA = {"insufficient_quota", "billing_hard_limit_reached", "billing_not_active"}
_TOO_LONG = {"context_length_exceeded", "string_above_max_length", "exceed_context_size_error", "input_tokens"}
_FILTERED = {"content_filter", "content_policy_violation"}
_BUSY = {"rate_limit_exceeded", "rate_limit_error", "overloaded_error", "server_overloaded", "slow_down"}
_BROKEN = {"server_error", "internal_error", "internal_server_error", "api_error"}
_BUSY_STATUS = {429, 503, 529}

# Only for servers that answer 400, 422 or 500 and give no code at all.
_TOO_LONG_IN_WORDS = (
    "maximum context length",  # vLLM
    "exceeds the available context size",  # llama.cpp before it had a type
    "exceeds the context length",  # Ollama
    "exceeded max context length",  # Ollama
    "longer than the model's context length",  # SGLang
    "`inputs` tokens + `max_new_tokens` must be",  # text-generation-inference
)

# The SDK lets these through: JSON that is none, too deep, or has too long a number; bytes that are no UTF-8.
FAULTS_OF_BODIES: tuple[type[Exception], ...] = (ValueError, RecursionError)


def translate(exc: Exception, *, has_text: bool) -> ChatError:
    """Return the `ChatError` for what the SDK raised, or for invalid JSON.

    Once text has arrived every fault is REPLY_INTERRUPTED: whatever its reason, what the person sees broke off.
    """
    import openai  # heavy; whoever has such an exception has loaded it

    detail = f"{type(exc).__name__}: {exc}"
    if (said := _said(exc)) not in detail:
        detail = f"{detail} - {said}"
    detail = detail[:_MAX_DETAIL_CHARS]
    if isinstance(exc, openai.OpenAIError):
        exc.args = (str(exc)[:_MAX_DETAIL_CHARS],)  # what staff read of the cause is cut as well
    words, status = _words_of(exc), _status_of(exc)
    if words & _FILTERED:
        return ChatError(LLM_REFUSED, detail=detail)
    if has_text:
        return ChatError(REPLY_INTERRUPTED, detail=detail)
    if isinstance(exc, openai.APITimeoutError) and not _is_connecting(exc):
        return ChatError(LLM_TIMEOUT, detail=detail)
    if _is_too_long(exc, words, status):
        return ChatError(CONTEXT_TOO_LONG, detail=detail)
    wait_ms = retry_after_ms(getattr(getattr(exc, "response", None), "headers", {}))
    is_busy = (status in _BUSY_STATUS and not _is_page(exc)) or bool(words & _BUSY)
    if is_busy and not words & _QUOTA:
        return ChatError(LLM_OVERLOADED, retry_after_ms=wait_ms or _DEFAULT_OVERLOAD_MS, detail=detail)
    return ChatError(LLM_UNAVAILABLE, retry_after_ms=wait_ms if _is_momentary(exc) else None, detail=detail)


def is_transient(error: ChatError) -> bool:
    """Whether the same request may succeed in a moment."""
    transient: tuple[ErrorSpec, ...] = (LLM_UNAVAILABLE, LLM_OVERLOADED)
    return error.spec in transient and error.__cause__ is not None and _is_momentary(error.__cause__)


def _is_momentary(exc: BaseException) -> bool:
    import openai

    words, status = _words_of(exc), _status_of(exc)
    if words & _QUOTA:
        return False
    if status is not None:
        return status >= 500 or status in {408, 409, 429}
    return isinstance(exc, openai.APIConnectionError) or bool(words & (_BUSY | _BROKEN))


def _is_connecting(exc: BaseException) -> bool:
    import httpx2

    return isinstance(exc.__cause__, httpx2.ConnectTimeout)


def _is_too_long(exc: BaseException, words: set[str], status: int | None) -> bool:
    if words & _TOO_LONG or status == 413:  # also a proxy's 413: shorter is what helps
        return True
    if status not in {400, 422, 500} or _has_code(exc):
        return False
    said = _said(exc)
    return any(phrase in said for phrase in _TOO_LONG_IN_WORDS)


def retry_after_ms(headers: Mapping[str, str]) -> int | None:
    """Return a server's `Retry-After` (seconds, or a date) or `retry-after-ms`, in milliseconds between 1 s and 10 min.

    None where it says nothing, or nothing that can be understood.
    """
    seconds = _number(headers.get("retry-after-ms", ""))
    if seconds is not None:
        seconds /= 1000
    else:
        text = headers.get("retry-after", "")
        seconds = _number(text)
        if seconds is None:
            seconds = _until(text)
    if seconds is None:
        return None
    if not seconds < _MAX_RETRY_AFTER_S:  # also what is no number
        seconds = _MAX_RETRY_AFTER_S
    return int(max(1.0, seconds) * 1000)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _until(text: str) -> float | None:
    try:
        return (parsedate_to_datetime(text).astimezone(UTC) - datetime.now(UTC)).total_seconds()
    except (ValueError, TypeError, OverflowError):
        return None


def _said(exc: BaseException) -> str:
    """What the server says in words, cut short."""
    body = getattr(exc, "body", None)
    said = body if isinstance(body, str) else _body_of(exc).get("message")
    return said[:_MAX_WORDS_CHARS] if isinstance(said, str) else ""


def _body_of(exc: BaseException) -> dict[str, Any]:
    """The error object; some servers send it in a list."""
    body = getattr(exc, "body", None)
    if isinstance(body, list) and body and isinstance(body[0], dict):
        body = body[0].get("error", body[0])
    return body if isinstance(body, dict) else {}


def _words_of(exc: BaseException) -> set[str]:
    body = _body_of(exc)
    return {word for word in (body.get("code"), body.get("type"), body.get("param")) if isinstance(word, str)}


def _has_code(exc: BaseException) -> bool:
    code = _body_of(exc).get("code")
    return isinstance(code, str) and not code.isdecimal()


def _status_of(exc: BaseException) -> int | None:
    """The HTTP status; of an error inside a stream whose status was 200, the one that its body names."""
    status = getattr(exc, "status_code", None)
    if status is None:
        code = str(_body_of(exc).get("code"))
        status = int(code) if len(code) == 3 and code.isdecimal() else None
    return status if status is None or status >= 300 else None


def _is_page(exc: Any) -> bool:
    """A proxy's HTML in the server's place says that nobody is there, not that somebody is busy."""
    response = getattr(exc, "response", None)
    return response is not None and response.status_code == 503 and "json" not in _kind(response)


def _kind(response: Any) -> str:
    return str(response.headers.get("content-type", "json")).lower()
