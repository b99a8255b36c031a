"""The built-in provider: answers questions about this product, without a key or a network, and fails on request.

`/fault <kind>` lets a newcomer see every kind of failure. The kinds that fail before the message is acknowledged are in
`chat.faults`; the ones here fail while the answer is being written. A retry of such a message gets a normal answer.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator

from chat import conf
from chat.llm import demo_answers
from chat.llm.base import ReplyRequest, Usage
from chat.protocol import ModelInfo
from errors.exceptions import ChatError
from errors.taxonomy import LLM_TIMEOUT, LLM_UNAVAILABLE, REPLY_INTERRUPTED

_WORD = re.compile(r"\S*\s*")
_PIECE_S = 0.02  # seconds between words: fast enough to read along
_TIMEOUT_AFTER_S = 1.0
_SLOW_S = 10.0
_SLOW_ANSWER = "This answer takes ten seconds on purpose: close the tab, open it again, and it goes on. "
_BROKEN_ANSWER = (
    "This answer begins well, and then the provider hangs up in the middle of a sentence. What had arrived was kept, "
    "and this is the rest of it."
)
ASKED_FOR = "asked for by the person"  # not the command itself: what was said is taken out of records


class DemoBackend:
    models = (
        ModelInfo(id="demo", name="Demo"),
        ModelInfo(id="demo-brief", name="Demo (brief)"),
    )

    async def stream(self, request: ReplyRequest) -> AsyncIterator[str | Usage]:
        kind = fault_kind(request.question)
        if kind is not None and request.attempt == 1:
            async for piece in self._fail(kind):
                yield piece
            return
        answer = demo_answers.answer(request.question, is_brief=request.model_id == "demo-brief")
        if begun := request.partial_text:
            whole = (text for text in (answer, _SLOW_ANSWER, _BROKEN_ANSWER) if text.startswith(begun))
            answer = next(whole, f"{begun}… {answer}").removeprefix(begun)
        async for piece in _spoken(answer):
            yield piece

    async def _fail(self, kind: str) -> AsyncIterator[str]:
        if kind == "unavailable":
            refused = ConnectionRefusedError(111, "Connection refused")
            raise ChatError(LLM_UNAVAILABLE, detail=ASKED_FOR) from refused
        if kind == "timeout":
            await asyncio.sleep(_TIMEOUT_AFTER_S)
            raise ChatError(LLM_TIMEOUT, detail=f"no token within {_TIMEOUT_AFTER_S} s ({ASKED_FOR})")
        if kind == "midstream":
            async for piece in _spoken(_BROKEN_ANSWER.partition("sentence")[0]):
                yield piece
            reset = ConnectionResetError(104, "Connection reset by peer")
            raise ChatError(REPLY_INTERRUPTED, detail=ASKED_FOR) from reset
        if kind == "crash":
            raise RuntimeError(f"a defect in the provider's code ({ASKED_FOR})")
        if kind == "slow":
            words = _SLOW_ANSWER.split()
            for word in words:
                yield f"{word} "
                await asyncio.sleep(_SLOW_S / len(words))
            return
        async for piece in _spoken(demo_answers.after_fault(kind)):
            yield piece


def fault_kind(content: str) -> str | None:
    """Return the kind that a `/fault` message asks for; None for other messages and where faults are switched off."""
    words = content.split()
    if len(words) != 2 or words[0] != "/fault" or not conf.chat().fault_commands:
        return None
    return words[1].lower()


async def _spoken(text: str) -> AsyncIterator[str]:
    for word in _WORD.findall(text):
        if word:
            yield word
            await asyncio.sleep(_PIECE_S)
