"""Any OpenAI-compatible server, through the SDK.

One client per event loop; the SDK's own retries are off, so that there is one retry loop, the one here: before the
first text only, and within half the time that it may take.
"""

from __future__ import annotations

import asyncio
import random
import time
import weakref
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any

from chat.llm import openai_chunks, openai_client, openai_faults, window
from chat.llm.base import Deadlines, ReplyRequest, Usage
from chat.llm.conf import ProviderSettings
from chat.protocol import ModelInfo
from errors.exceptions import ChatError
from errors.redaction import keep_secret

_RETRIES = 2
_USAGE_S = 2.0  # seconds that the token counts may come after the answer's end
_BACKOFF_S = 0.5  # seconds; the upper bound of the first pause, doubled for the second


class OpenAIBackend:
    def __init__(self, settings: ProviderSettings) -> None:
        keep_secret(settings.api_key)
        self.settings = settings
        self.models = (ModelInfo(id=settings.id, name=settings.name),)
        self._clients: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Any] = weakref.WeakKeyDictionary()

    def deadlines(self, model_id: str) -> Deadlines:
        return Deadlines(self.settings.first_token_s, self.settings.next_token_s, self.settings.total_s)

    def context_tokens(self, model_id: str) -> int:
        return self.settings.context_tokens

    async def warm_up(self) -> None:
        """Import the SDK and make the client, which reads the certificates: on a thread, so that nobody else waits."""
        loop = asyncio.get_running_loop()
        if loop not in self._clients:
            client = await asyncio.to_thread(openai_client.make, self.settings)
            self._clients.setdefault(loop, client)

    async def aclose(self) -> None:
        client = self._clients.pop(asyncio.get_running_loop(), None)
        if client is not None:
            await client.close()

    async def stream(self, request: ReplyRequest) -> AsyncIterator[str | Usage]:
        await self.warm_up()
        body = self._body(request)
        began = time.monotonic()
        give_up_at = began + self.settings.first_token_s / 2
        for attempt in range(_RETRIES + 1):
            has_text = False
            try:
                async with aclosing(self._attempt(body, began + self.settings.total_s)) as pieces:
                    async for piece in pieces:
                        has_text = has_text or (isinstance(piece, str) and piece != "")
                        yield piece
                return
            except ChatError as error:
                pause_s = random.uniform(0, _BACKOFF_S * 2**attempt)  # noqa: S311 -- jitter
                if error.retry_after_ms is not None:
                    pause_s = max(pause_s, error.retry_after_ms / 1000)
                is_late = time.monotonic() + pause_s > give_up_at
                if has_text or attempt == _RETRIES or is_late or not openai_faults.is_transient(error):
                    raise
            await asyncio.sleep(pause_s)

    def _body(self, request: ReplyRequest) -> dict[str, Any]:
        settings = self.settings
        body: dict[str, Any] = {
            "model": settings.model,
            "messages": window.messages(
                request, system_prompt=settings.system_prompt, context_tokens=settings.context_tokens
            ),
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        if settings.max_tokens is not None:
            body[settings.max_tokens_field] = settings.max_tokens
        return body

    async def _attempt(self, body: dict[str, Any], ends_at: float) -> AsyncGenerator[str | Usage, None]:
        """Ask once, and pass on what comes.

        Raises:
            ChatError: Whatever went wrong, by its code.
        """
        import openai  # heavy; `warm_up` has loaded it

        answer: Any = None
        chars = 0
        reason: str | None = None
        try:
            # Not `chat.completions.create`: building its objects is nine tenths of what a token costs.
            answer = await self._clients[asyncio.get_running_loop()].post(
                "/chat/completions", body=body, cast_to=object, stream=True, stream_cls=openai.AsyncStream[object]
            )
            chunks = aiter(answer)
            async for chunk in chunks:
                if (usage := openai_chunks.usage(chunk)) is not None:
                    yield usage
                text, reason = openai_chunks.read(chunk)
                if text is not None:
                    chars += len(text)
                    yield text
                if reason is not None:
                    break
            openai_chunks.check_end(reason, has_text=chars > 0)
            if (usage := await openai_chunks.late_usage(chunks, self._usage_s(ends_at))) is not None:
                yield usage
        except (openai.OpenAIError, ValueError, RecursionError) as exc:  # the last two: bodies that the SDK cannot read
            raise openai_faults.translate(exc, has_text=chars > 0) from exc
        finally:
            if answer is not None:
                await answer.close()

    def _usage_s(self, ends_at: float) -> float:
        """How long to wait for the counts: never so long that a time limit cuts off an answer that is whole."""
        return max(0.0, min(_USAGE_S, self.settings.next_token_s / 2, (ends_at - time.monotonic()) / 2))
