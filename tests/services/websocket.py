"""The client's end of one WebSocket: what arrives is kept in order until somebody expects it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from types import TracebackType
from typing import Any

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

Frame = dict[str, Any]


class SocketClient:
    """`async with await site.connect() as socket:` -- reads on its own, so nothing the server sends is missed."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection
        self.frames: list[Frame] = []  # received and not yet expected, oldest first
        self.received: list[Frame] = []  # all of them, for transcripts
        self._changed = asyncio.Condition()
        self._is_over = False
        self._reader = asyncio.create_task(self._read())

    async def send(self, **frame: Any) -> None:
        """Send one JSON frame."""
        await self.send_raw(json.dumps(frame))

    async def send_raw(self, data: str | bytes) -> None:
        """Send a text frame, or a binary one, as it is."""
        await self.connection.send(data)

    async def expect(self, type: str | None = None, timeout: float = 5.0, **fields: Any) -> Frame:
        """Take the oldest frame of this `type` with these fields out of `frames`; awaits it if need be.

        Frames that do not match stay, in their order.

        Raises:
            AssertionError: none within `timeout` seconds, or the socket is closed; tells what came instead.
        """
        wanted = fields if type is None else {"type": type, **fields}
        return await self.expect_where(lambda frame: wanted.items() <= frame.items(), str(wanted), timeout)

    async def expect_where(self, matches: Callable[[Frame], bool], what: str = "", timeout: float = 5.0) -> Frame:
        """`expect` with a condition of one's own; `what` names it in the message."""
        try:
            async with asyncio.timeout(timeout), self._changed:
                while True:
                    for index, frame in enumerate(self.frames):
                        if matches(frame):
                            return self.frames.pop(index)
                    if self._is_over:
                        break
                    await self._changed.wait()
        except TimeoutError:
            raise AssertionError(f"no {what} within {timeout:g} s; came: {self.frames}") from None
        raise AssertionError(f"no {what}: closed with {self.connection.close_code}; came: {self.frames}")

    async def closed(self, timeout: float = 5.0) -> int:
        """Await the server's close and return its code (1006: the connection broke off)."""
        try:
            async with asyncio.timeout(timeout):
                await asyncio.shield(self._reader)
        except TimeoutError:
            raise AssertionError(f"still open after {timeout:g} s; came: {self.frames}") from None
        return self.connection.close_code or 1006

    async def close(self) -> None:
        """Close as a page that goes away does."""
        await self.connection.close()
        await self._reader

    async def __aenter__(self) -> SocketClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def _read(self) -> None:
        try:
            while True:
                frame = json.loads(await self.connection.recv())
                async with self._changed:
                    self.received.append(frame)
                    self.frames.append(frame)
                    self._changed.notify_all()
        except ConnectionClosed:
            pass
        finally:
            async with self._changed:
                self._is_over = True
                self._changed.notify_all()
