"""Any OpenAI-compatible server, through the SDK. The one file that knows it.

One client per event loop; the SDK's own retries are off, so that there is one retry loop: before the first piece only,
and within the time that the first piece may take.
"""

from __future__ import annotations

import asyncio
import importlib
import random
import time
import weakref
from collections.abc import AsyncIterator
from typing import Any

import structlog

from chat.llm import openai_faults, window
from chat.llm.base import Deadlines, ReplyRequest, Usage
from chat.llm.conf import ProviderSettings
from chat.protocol import ModelInfo
from errors.exceptions import ChatError
from errors.redaction import keep_secret
from errors.taxonomy import LLM_REFUSED, LLM_UNAVAILABLE, REPLY_INTERRUPTED

log = structlog.stdlib.get_logger("chat.llm")

_CONNECT_S = 2.0  # seconds; a server that is there answers in milliseconds
_RETRIES = 2
_BACKOFF_S = 0.5  # seconds; the upper bound of the first pause, doubled for the second
_USAGE_S = 2.0  # seconds that the token counts may come after the answer's end


class OpenAIBackend:
    def __init__(self, settings: ProviderSettings) -> None:
        keep_secret(settings.api_key)
        self.settings = settings
        self.models = (ModelInfo(id=settings.id, name=settings.name),)
        self._clients: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Any] = weakref.WeakKeyDictionary()

    def deadlines(self, model_id: str) -> Deadlines:
        return Deadlines(self.settings.first_token_s, self.settings.next_token_s, self.settings.total_s)

    async def stream(self, request: ReplyRequest) -> AsyncIterator[str | Usage]:
        sdk = await self._sdk()
        answer = await self._open(sdk, request)
        has_text = False
        finish_reason: str | None = None
        try:
            async for chunk in _until_usage(answer):
                if chunk.usage is not None and (usage := _usage(chunk.usage)) is not None:
                    yield usage
                for choice in (chunk.choices or ())[:1]:
                    finish_reason = choice.finish_reason or finish_reason
                    delta = choice.delta
                    if delta is not None and getattr(delta, "refusal", None):
                        raise ChatError(LLM_REFUSED, detail="refusal")
                    if delta is not None and delta.content:
                        has_text = True
                        yield delta.content
        except (sdk.OpenAIError, *openai_faults.FAULTS_OF_BODIES) as exc:
            raise openai_faults.translate(exc, has_text=has_text) from exc
        finally:
            await answer.close()
        _check_end(finish_reason, has_text=has_text)

    async def _open(self, sdk: Any, request: ReplyRequest) -> Any:
        """Return the server's stream; try again while that can help and time is left for it."""
        settings = self.settings
        conversation = window.messages(
            request, system_prompt=settings.system_prompt, context_tokens=settings.context_tokens
        )
        limits = {"max_tokens": settings.max_tokens} if settings.max_tokens else {}
        give_up_at = time.monotonic() + settings.first_token_s / 2
        for attempt in range(_RETRIES + 1):
            try:
                return await self._client(sdk).chat.completions.create(
                    model=settings.model,
                    messages=conversation,
                    stream=True,
                    stream_options={"include_usage": True},
                    **limits,
                )
            except (sdk.OpenAIError, *openai_faults.FAULTS_OF_BODIES) as exc:
                error = openai_faults.translate(exc, has_text=False)
                error.__cause__ = exc
            pause_s = random.uniform(0, _BACKOFF_S * 2**attempt)  # noqa: S311 -- jitter
            if error.retry_after_ms is not None:
                pause_s = max(pause_s, error.retry_after_ms / 1000)
            is_late = time.monotonic() + pause_s > give_up_at
            if attempt == _RETRIES or is_late or not openai_faults.is_transient(error):
                raise error
            await asyncio.sleep(pause_s)
        raise AssertionError("unreachable")

    async def _sdk(self) -> Any:
        # Over a second to import, once: on a thread, so that nobody else waits.
        return await asyncio.to_thread(importlib.import_module, "openai")

    def _client(self, sdk: Any) -> Any:
        loop = asyncio.get_running_loop()
        if loop not in self._clients:
            from chat.llm import bounded  # needs the SDK's transport, which is loaded by now

            settings = self.settings
            self._clients[loop] = sdk.AsyncOpenAI(
                base_url=settings.base_url,
                api_key=settings.api_key or "none",
                max_retries=0,
                timeout=sdk.Timeout(settings.total_s, connect=_CONNECT_S),
                http_client=sdk.DefaultAsyncHttpxClient(
                    event_hooks={"response": [bounded.bound_lines]}, trust_env=False, follow_redirects=False
                ),
            )
        return self._clients[loop]


async def _until_usage(answer: Any) -> AsyncIterator[Any]:
    """Pass chunks on. After the end of the answer only its token counts are awaited, and not for long."""
    chunks = aiter(answer)
    is_ended = False
    while True:
        try:
            async with asyncio.timeout(_USAGE_S if is_ended else None):
                chunk = await anext(chunks)
        except StopAsyncIteration:
            return
        except TimeoutError:
            return
        yield chunk
        if chunk.usage is not None and is_ended:
            return
        is_ended = is_ended or any(choice.finish_reason for choice in chunk.choices or ())


def _usage(reported: Any) -> Usage | None:
    """What the server counted, or None where that makes no sense: no reason to lose the answer."""
    try:
        return Usage(int(reported.prompt_tokens), int(reported.completion_tokens))
    except (TypeError, ValueError):
        log.warning("chat.provider_usage_refused")
        return None


def _check_end(finish_reason: str | None, *, has_text: bool) -> None:
    """A stream that just stops raises nothing: the reason it gives for its end tells whether the answer is whole."""
    if finish_reason == "content_filter":
        raise ChatError(LLM_REFUSED, detail="content_filter")
    if finish_reason == "length":
        raise ChatError(REPLY_INTERRUPTED, detail="max_tokens reached")
    if finish_reason is None:
        spec = REPLY_INTERRUPTED if has_text else LLM_UNAVAILABLE
        raise ChatError(spec, detail="the stream ended without a finish_reason")
