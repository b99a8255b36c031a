"""The bounded queue of one connection's outgoing frames, and the task that writes them to the socket."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

from chat.encoded import Encoded
from errors.taxonomy import CLOSE_INTERNAL

Send = Callable[[dict[str, Any]], Awaitable[None]]


class Outbox:
    """Takes frames without waiting and writes them in order. Full: the frame is refused, and the caller counts it."""

    def __init__(self, send: Send, size: int) -> None:
        self._send = send
        self._size = size
        self._frames: deque[Encoded] = deque()
        self._wake = asyncio.Event()
        self._close_code: int | None = None
        self.drops = 0  # frames refused

    @property
    def is_closing(self) -> bool:
        return self._close_code is not None

    def put(self, frame: Encoded) -> bool:
        """Queue one frame; return whether there was room. After `close` nothing more is taken."""
        if len(self._frames) >= self._size or self._close_code is not None:
            self.drops += 1
            return False
        self._frames.append(frame)
        self._wake.set()
        return True

    def close(self, code: int) -> None:
        """Close the socket once what is queued has been written. The first code counts."""
        if self._close_code is None:
            self._close_code = code
            self._wake.set()

    async def run(self) -> None:
        """Write until closed. Only ever one write is under way, so frames cannot overtake or mix.

        A frame that cannot be written (over the server's limit) ends the connection: an open socket that says nothing
        any more would be worse.
        """
        try:
            await self._write()
        except Exception:
            self._close_code = CLOSE_INTERNAL
            self._frames.clear()
            await self._send({"type": "websocket.close", "code": CLOSE_INTERNAL})
            raise

    async def _write(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._frames:
                await self._send(self._frames.popleft().send_event)
            if self._close_code is not None:
                await self._send({"type": "websocket.close", "code": self._close_code})
                return
