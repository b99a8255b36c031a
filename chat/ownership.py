"""Finds the sessions with which connections register; what is asked while a query runs is asked in the next one.

A thousand clients that come back after a restart, or a flood of ids that do not exist, cost a few queries instead of
one each, on threads that others need.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from chat import sessions
from chat.database import DatabaseThreads
from chat.models import ChatSession
from errors.exceptions import ChatError
from errors.taxonomy import NOT_FOUND

_AT_ONCE = 2  # queries; a third waits for one of them
_PATIENCE_S = 0.05  # seconds; one that hangs must not hold up the others
_MAX_IDS = 500  # of one query

_Asked = tuple[str, str, asyncio.Future[ChatSession]]


class Ownership:
    """One per event loop; owned by `runtime`.

    Args:
        spawn: Runs a task that the runtime owns.
    """

    def __init__(self, threads: DatabaseThreads, spawn: Callable[[Coroutine[Any, Any, None]], object]) -> None:
        self._threads = threads
        self._spawn = spawn
        self._asked: list[_Asked] = []
        self._running = 0  # queries
        self._timer: asyncio.TimerHandle | None = None

    async def find(self, session_id: str, user_id: str) -> ChatSession:
        """Return the session, if it is the user's.

        Raises:
            ChatError: NOT_FOUND; SERVER_BUSY or DATABASE_ERROR from the threads. Also what the database raises.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[ChatSession] = loop.create_future()
        self._asked.append((session_id, user_id, future))
        if len(self._asked) == 1:
            is_free = self._running < _AT_ONCE
            self._timer = loop.call_later(0 if is_free else _PATIENCE_S, self._ask)
        return await future

    def _ask(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        asked, self._asked = self._asked[:_MAX_IDS], self._asked[_MAX_IDS:]
        if asked:
            self._running += 1
            self._spawn(self._answer(asked))

    async def _answer(self, asked: Sequence[_Asked]) -> None:
        waiting = [each for each in asked if not each[2].done()]  # who has gone asks no more
        try:
            found = await self._threads.run(_read, [(session_id, user_id) for session_id, user_id, _ in waiting])
        except Exception as exc:
            for _, _, future in waiting:
                if not future.done():
                    future.set_exception(exc)
        else:
            for (_, _, future), session in zip(waiting, found, strict=True):
                if future.done():
                    continue
                if session is None:
                    future.set_exception(ChatError(NOT_FOUND, field="session_id"))
                else:
                    future.set_result(session)
        finally:
            self._running -= 1
            self._ask()


def _read(pairs: Sequence[tuple[str, str]]) -> list[ChatSession | None]:
    """On a database thread."""
    if len(pairs) > 1:
        return sessions.owned_of(pairs)
    return [sessions.owned(*pair) for pair in pairs]
