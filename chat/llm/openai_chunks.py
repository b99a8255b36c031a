"""Reads one event of a streamed answer as plain JSON: nothing that a server says is taken for granted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

from chat.llm import openai_faults
from chat.llm.base import Usage
from errors.exceptions import ChatError
from errors.loggers import get_logger
from errors.taxonomy import LLM_REFUSED, LLM_UNAVAILABLE, REPLY_INTERRUPTED

log = get_logger("chat.llm")

_DONE_S = 0.2  # seconds for the rest after them, so that the connection can be used again

# What servers give as the reason of an end. Any other word is the end of a whole answer: stop, eos, end_turn, ...
_FILTERED = {"content_filter", "safety", "refusal"}
_CUT_SHORT = {"length", "max_tokens", "model_length"}
_BROKEN_OFF = {"error", "abort", "cancelled", "insufficient_system_resource"}
_WANTS_TOOLS = {"tool_calls", "function_call"}  # none were offered: nobody will go on


def read(chunk: Any) -> tuple[str | None, str | None]:
    """Return an event's text and the reason it gives for the end. Empty text: the model is thinking.

    Raises:
        ChatError: LLM_REFUSED.
    """
    choice = _own_choice(chunk)
    delta = choice.get("delta")
    if not isinstance(delta, dict):
        delta = {}
    refusal = delta.get("refusal")
    if refusal and isinstance(refusal, str):
        raise ChatError(LLM_REFUSED, detail="refusal")
    text = _text_of(delta.get("content"))
    if not text:
        is_thinking = delta.get("reasoning_content") or delta.get("reasoning")
        text = "" if is_thinking else None
    reason = choice.get("finish_reason")
    return text, reason if reason and isinstance(reason, str) else None


def _own_choice(chunk: Any) -> dict[str, Any]:
    """The first of several answers; some servers do not number their only one."""
    choices = chunk.get("choices") if isinstance(chunk, dict) else None
    if isinstance(choices, list):
        for choice in choices:
            if isinstance(choice, dict) and choice.get("index") in (0, None):
                return choice
    return {}


def _text_of(content: Any) -> str | None:
    if isinstance(content, str):
        return content
    if isinstance(content, list):  # in parts, as some servers have it
        parts = [part.get("text") for part in content if isinstance(part, dict)]
        return "".join(part for part in parts if isinstance(part, str))
    return None


def usage(chunk: Any) -> Usage | None:
    """What the server counted, or None where that makes no sense, which is no reason to lose the answer."""
    reported = chunk.get("usage") if isinstance(chunk, dict) else None
    if reported is None:
        return None
    try:
        return Usage(reported["prompt_tokens"], reported["completion_tokens"])
    except (LookupError, TypeError, ValueError):
        log.warning("chat.provider_usage_refused")
        return None


async def late_usage(chunks: AsyncIterator[Any], limit_s: float) -> Usage | None:
    """Return the token counts that come after the answer's end. The answer is whole: nothing here can spoil it."""
    import openai  # heavy; whoever has chunks has loaded it

    found: Usage | None = None
    with suppress(TimeoutError, openai.OpenAIError, *openai_faults.FAULTS_OF_BODIES):
        async with asyncio.timeout(limit_s) as limit:
            async for chunk in chunks:
                if (counted := usage(chunk)) is not None:
                    found = counted
                    limit.reschedule(asyncio.get_running_loop().time() + _DONE_S)
    return found


def check_end(reason: str | None, *, has_text: bool) -> None:
    """A stream that just stops raises nothing: the reason it gives for its end tells whether the answer is whole.

    Raises:
        ChatError: LLM_REFUSED; REPLY_INTERRUPTED, or LLM_UNAVAILABLE if there is nothing to interrupt.
    """
    if reason in _FILTERED:
        raise ChatError(LLM_REFUSED, detail=f"ended with {reason}")
    if reason is None:
        detail = "the stream ended without a finish_reason"
    elif reason in _CUT_SHORT | _BROKEN_OFF | _WANTS_TOOLS:
        detail = f"ended with {reason}"
    else:
        return
    raise ChatError(REPLY_INTERRUPTED if has_text else LLM_UNAVAILABLE, detail=detail)
