"""Reads a provider for one reply, under time limits, in a task that nobody has to wait for longer than a moment.

A provider may hang where it is asked to end: in a `finally` that waits for its own server, or because it takes no
notice. So limits and stops do not wait for it: they cut it off, and the reply ends without it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from chat.llm.base import Deadlines, Usage
from chat.llm.turns import Turns
from errors.exceptions import ChatError
from errors.loggers import get_logger
from errors.taxonomy import LLM_TIMEOUT, LLM_UNAVAILABLE, REPLY_INTERRUPTED, ErrorSpec

log = get_logger("chat.replies")

CLOSE_S = 1.0  # seconds that a provider gets to end when it is cut off

Pieces = AsyncIterator[str | Usage]


# Each limit is a cause of its own: of failures with one cause staff see one group.
class TotalTimeOver(TimeoutError):
    """The reply has taken all the time that it may."""


class NextTokenLate(TimeoutError):
    """The provider was silent for too long."""


class ReplyTooLong(Exception):
    """The provider goes on and on."""


class NoException(Exception):
    """The provider raised what is no `Exception`: asyncio would end the server with it, and nobody catch it."""


def limit_error(spec: ErrorSpec, cause: Exception) -> ChatError:
    """Return what to tell of a limit that is over."""
    error = ChatError(spec, detail=str(cause) or (cause.__doc__ or "").rstrip("."))
    error.__cause__ = cause
    return error


class ReplyReader:
    """One provider being read. Begins at once.

    Args:
        ask: Returns the provider's pieces, and the time that they may take from then on.
        take: Gets each piece.
        abandon: Gets the task of a provider that has not ended in time.

    Attributes:
        has_asked: The provider is at work, or was.
        is_cut: Nothing more of it is wanted.
        is_whole: It has said all that it had to say.
    """

    def __init__(
        self,
        ask: Callable[[], Awaitable[tuple[Pieces, Deadlines]]],
        take: Callable[[str | Usage], None],
        abandon: Callable[[asyncio.Task[None]], None],
    ) -> None:
        self.has_asked = False
        self.is_cut = False
        self.is_whole = False
        self._ask = ask
        self._take = take
        self._abandon = abandon
        self._loop = asyncio.get_running_loop()
        self._error: ChatError | None = None  # why it was cut off, where that is a failure
        self._raised: BaseException | None = None  # by the provider
        self._close_s = CLOSE_S
        self._limit_s = 0.0
        self._spec: ErrorSpec = LLM_TIMEOUT  # of a limit that is over
        self._deadline = 0.0
        self._due = 0.0  # when the limit that holds now is over
        self._timer: asyncio.TimerHandle | None = None
        self._over: asyncio.Future[None] = self._loop.create_future()  # nothing more comes: it has only to close
        self._task = asyncio.create_task(self._read())

    def cut(self, error: ChatError | None = None, *, close_s: float = CLOSE_S) -> None:
        """Ask the provider to end. What it says or raises from now on is no part of the reply."""
        if self._over.done():
            return
        self.is_cut, self._error, self._close_s = True, error, close_s
        self._over.set_result(None)
        self._task.cancel()

    async def end(self) -> None:
        """Wait until the provider has ended; once nothing more comes it has `close_s` for it and is abandoned then.

        Raises:
            ChatError: LLM_TIMEOUT or REPLY_INTERRUPTED when a limit is over; the error of `cut`.
            Exception: What the provider raised.
        """
        both: set[asyncio.Future[Any]] = {self._task, self._over}
        try:
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            if not self._task.done():
                await asyncio.wait({self._task}, timeout=self._close_s)
        finally:
            if self._timer is not None:
                self._timer.cancel()
            if not self._task.done():
                self._task.cancel()  # out of what it waits for while it ends
                self._abandon(self._task)
                del self._ask, self._take, self._abandon  # it may stay for ever, and must not keep the conversation
        raised, self._raised = self._raised, None
        if self.is_whole:
            return
        if self.is_cut:
            if raised is not None:
                _log_close(raised)
            if self._error is not None:
                raise self._error
        elif raised is None:
            # The provider's own cancellation, of something inside it: a failure like any other.
            spec = LLM_UNAVAILABLE if self._spec is LLM_TIMEOUT else self._spec
            raise ChatError(spec, detail="the provider was cancelled")
        elif isinstance(raised, Exception):
            raise raised
        else:
            raise NoException(type(raised).__name__) from raised

    # --- In the task ---

    async def _read(self) -> None:
        pieces: Pieces | None = None
        try:
            pieces, deadlines = await self._ask()
            self.has_asked = True
            self._deadline = self._loop.time() + deadlines.total_s
            self._limit(deadlines.first_token_s)
            turns = Turns()
            async for piece in pieces:
                if self.is_cut:
                    return  # it took no notice
                if not isinstance(piece, Usage):
                    # An empty one: the model is thinking.
                    self._spec, self._limit_s = REPLY_INTERRUPTED if piece else self._spec, deadlines.next_token_s
                self._limit(self._limit_s)
                self._take(piece)
                await turns.give()  # also to the limits and to who wants to stop: a provider need not wait for anything
            self.is_whole = not self.is_cut
        except asyncio.CancelledError:
            raise
        except BaseException as exc:
            self._raised = exc  # not out of the task: asyncio would hand SystemExit on to whoever runs the loop
        finally:
            await self._close(pieces)

    async def _close(self, pieces: Pieces | None) -> None:
        """Close what has ended, or is to. What became of the reply stands: nothing here can change it."""
        if self._timer is not None:
            self._timer.cancel()
        if not self._over.done():
            self._over.set_result(None)
        try:
            aclose = getattr(pieces, "aclose", None)
            if aclose is not None:
                await aclose()
        except asyncio.CancelledError:
            raise
        except BaseException as exc:
            _log_close(exc)

    def _limit(self, limit_s: float) -> None:
        """From now on, this long until the next piece."""
        self._limit_s = limit_s
        self._due = min(self._loop.time() + limit_s, self._deadline)
        if self._timer is None or self._due < self._timer.when():
            self._set_timer()

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(self._due, self._on_timer)

    def _on_timer(self) -> None:
        if self._timer is not None and self._timer.when() < self._due:
            self._set_timer()  # pieces came meanwhile; a timer anew for each would cost more than the rest of it
            return
        is_total = self._due == self._deadline
        late = TotalTimeOver() if is_total else NextTokenLate(f"no token within {self._limit_s} s")
        self.cut(limit_error(self._spec, late))


def _log_close(exc: BaseException) -> None:
    log.warning("chat.provider_close_failed", cause=type(exc).__name__)
