"""A provider whose code holds a thread and hears nothing: the worst guest that a process can have when it goes down."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

from chat.llm.base import ReplyRequest, Usage
from chat.protocol import ModelInfo

HELD_S = 60.0  # seconds; longer than any test waits


class StuckBackend:
    models = (ModelInfo(id="stuck", name="Stuck"),)

    async def stream(self, request: ReplyRequest) -> AsyncIterator[str | Usage]:
        yield "It begins well. "
        await asyncio.to_thread(time.sleep, HELD_S)
