"""The bounded queue of one connection's outgoing frames, and the task that writes them to the socket."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from chat.encoded import Encoded
from chat.flow import Flow, Hold, Send
from errors.loggers import get_logger
from errors.taxonomy import CLOSE_INTERNAL, CLOSE_SLOW

log = get_logger("chat.outbox")

_GONE = 1006  # what a client that has gone without a word closed with; never sent


class Outbox:
    """Takes frames without waiting and writes them in order, as fast as the client reads.

    Full: a frame is refused, and the caller sees to its repair. Answers to the client's own requests have room of their
    own; when even that is used up, nothing can be repaired, and the connection is closed as soon as the client has read
    what is there: then it comes back and resumes. So it is when the client has made no room for `patience_s` seconds.

    Args:
        size: Frames that may wait; a quarter more where they are answers.
        max_chars: Characters that may wait; the one frame that waits alone may be longer.

    Attributes:
        on_room: Called when it is at most half full again, after a frame was refused or somebody asked for it.
        drops: Frames that were refused.
    """

    def __init__(self, send: Send, flow: Flow, *, size: int, max_chars: int, patience_s: float) -> None:
        self.on_room: Callable[[], None] | None = None
        self.drops = 0
        self._send = send
        self._flow = flow
        self._size = size
        self._max_chars = max_chars
        self._patience_s = patience_s
        self._frames: list[Encoded] = []  # an idle connection has an empty one; a deque would take half a kilobyte
        self._chars = 0
        self._waking: asyncio.Future[None] | None = None  # while the writer has nothing to do
        self._close_code: int | None = None
        self._has_lost_answer = False
        self._is_wanted = False  # somebody waits for room
        self._patience: asyncio.TimerHandle | None = None  # runs while the outbox is crowded

    @property
    def is_closing(self) -> bool:
        return self._close_code is not None

    @property
    def has_room(self) -> bool:
        """Whether it is at most half full."""
        return len(self._frames) * 2 <= self._size and self._chars * 2 <= self._max_chars

    def put(self, frame: Encoded) -> bool:
        """Queue one frame; return whether there was room. After `close` nothing more is taken."""
        return self._put((frame,), self._size, self._max_chars)

    def put_answer(self, frame: Encoded) -> bool:
        """Queue a frame that the client waits for: it is short, and may follow a page that is long."""
        if self._put((frame,), self._size + max(1, self._size // 4), self._chars + len(frame.text)):
            return True
        self._has_lost_answer = self._close_code is None
        return False

    def put_whole(self, frames: Sequence[Encoded]) -> bool:
        """Queue frames that belong together: while it is at most half full, however long they are."""
        if not self.has_room:
            return self._put(frames, self._size, self._max_chars)
        return self._put(frames, self._size + len(frames), self._max_chars + sum(len(frame.text) for frame in frames))

    def _put(self, frames: Sequence[Encoded], size: int, max_chars: int) -> bool:
        chars = sum([len(frame.text) for frame in frames])
        if self._frames and (len(self._frames) + len(frames) > size or self._chars + chars > max_chars):
            self._crowd()
        elif self._close_code is None:
            if not self._frames and len(frames) == 1 and self._flow.write_now(frames[0]):
                return True
            self._frames.extend(frames)
            self._chars += chars
            self._wake()
            if len(self._frames) > self._size:
                self._crowd()  # of the room for answers there is some left: time to stop asking for more
            return True
        self.drops += len(frames)
        return False

    def call_when_room(self) -> None:
        """Have `on_room` called as soon as it is at most half full."""
        self._is_wanted = True

    def close(self, code: int) -> None:
        """Close the socket once what is queued has been written. The first code counts."""
        if self._close_code is None:
            self._close_code = code
            self._wake()

    def dispose(self) -> None:
        """The connection is over: nothing more is taken, and no timer may outlive it."""
        if self._close_code is None:
            self._close_code = _GONE
        self._end_patience()
        self._flow.finish()

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
        finally:
            self.dispose()

    async def _write(self) -> None:
        while True:
            if not self._frames and self._close_code is None:
                self._waking = asyncio.get_running_loop().create_future()
                await self._waking
            while self._frames:
                if not self._flow.is_writable:
                    await self._flow.wait_until_writable()
                    continue
                frame = self._frames.pop(0)
                self._chars -= len(frame.text)
                if not self._flow.write_now(frame):
                    await self._send(frame.send_event)
                if (self._is_wanted or self._patience is not None) and self.has_room:
                    self._make_room()
            if self._close_code is None and self._has_lost_answer:
                self._close_code = CLOSE_SLOW
            if self._close_code is not None:
                await self._send({"type": "websocket.close", "code": self._close_code})
                return

    def _wake(self) -> None:
        if self._waking is not None:
            if not self._waking.done():  # it is when the writer was cancelled
                self._waking.set_result(None)
            self._waking = None

    # --- A client that does not read ---

    def _crowd(self) -> None:
        if self._patience is None and self._close_code is None:
            self._flow.hold(Hold.OUTBOX)
            self._patience = asyncio.get_running_loop().call_later(self._patience_s, self._give_up)

    def _make_room(self) -> None:
        self._is_wanted = False
        self._end_patience()
        self._flow.release(Hold.OUTBOX)
        if self.on_room is not None and self._close_code is None:
            self.on_room()

    def _end_patience(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def _give_up(self) -> None:
        log.info("chat.slow_connection_closed", waited_s=self._patience_s, frames=len(self._frames))
        self._patience = None
        self.drops += len(self._frames)
        self._frames.clear()
        self._chars = 0
        self.close(CLOSE_SLOW)
        self._flow.finish()
