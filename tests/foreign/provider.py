"""A host project's own provider and its own word for a failure."""

from __future__ import annotations

from collections.abc import AsyncIterator

from chat.llm.base import ReplyRequest
from chat.protocol import ModelInfo
from errors.exceptions import ChatError
from errors.taxonomy import Category, ErrorSpec

OUT_OF_PAPER = ErrorSpec(
    code="OUT_OF_PAPER",
    category=Category.SERVICE,
    message="The printer is out of paper.",
    why="Nobody refilled it.",
    remedy="Refill it.",
    http_status=503,
)


class EchoBackend:
    models = (ModelInfo(id="echo", name="Echo"),)

    async def stream(self, request: ReplyRequest) -> AsyncIterator[str]:
        if request.question == "print":
            raise ChatError(OUT_OF_PAPER)
        yield request.question.upper()
