"""Threads for the ORM, instead of asgiref's one shared thread: a slow query holds up only whoever asked.

Owned by `runtime`; used by everything on the socket's way that touches the database.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any, ParamSpec, TypeVar

from django.db import InterfaceError, OperationalError, connections

from errors.exceptions import ChatError
from errors.own_connections import use_own_connections
from errors.taxonomy import DATABASE_ERROR, SERVER_BUSY, Outcome

_RETRY_AFTER_MS = 1_000  # milliseconds; a lock or a failover is usually over by then
# SQLite keeps 2 MB of pages per connection. A look-up touches few, and the operating system has them all: those of one
# person after another, kept by every thread, would grow with the number of connections.
_CACHE_KB = 128

Args = ParamSpec("Args")
Result = TypeVar("Result")


class DatabaseThreads:
    """A bounded pool. Each thread keeps a connection of its own and gives it back when it is stale.

    Args:
        threads: Queries at once.
        queue_size: Queries that may wait for a thread.
        timeout_s: Seconds that a caller waits, the queue included. The thread itself cannot be stopped.
    """

    def __init__(self, name: str, threads: int, *, queue_size: int, timeout_s: float) -> None:
        self._pool = ThreadPoolExecutor(
            threads, thread_name_prefix=name, initializer=partial(use_own_connections, cache_kb=_CACHE_KB)
        )
        self._threads = threads
        self._limit = threads + queue_size
        self._timeout_s = timeout_s
        self._in_flight = 0
        self._lock = threading.Lock()

    @property
    def waiting(self) -> int:
        """Queries that have no thread yet."""
        return max(0, self._in_flight - self._threads)

    async def run(self, work: Callable[Args, Result], *args: Args.args, **kwargs: Args.kwargs) -> Result:
        """Run `work` on a thread and return what it returns.

        Raises:
            ChatError: SERVER_BUSY when the queue is full; DATABASE_ERROR, outcome unknown, when the time is over.
        """
        with self._lock:
            if self._in_flight >= self._limit:
                raise ChatError(SERVER_BUSY, retry_after_ms=_RETRY_AFTER_MS, detail="database queue is full")
            self._in_flight += 1
        future = self._pool.submit(partial(_with_fresh_connections, work, *args, **kwargs))
        future.add_done_callback(self._leave)
        try:
            async with asyncio.timeout(self._timeout_s):
                return await asyncio.wrap_future(future)
        except TimeoutError as exc:
            raise ChatError(
                DATABASE_ERROR,
                retry_after_ms=_RETRY_AFTER_MS,
                outcome=Outcome.UNKNOWN,
                detail=f"no answer within {self._timeout_s} s",
            ) from exc

    def close(self) -> None:
        """Take no more work, drop what has not begun, and let the threads close their connections."""
        count = len(self._pool._threads)
        meeting = threading.Barrier(count) if count else None
        for _ in range(count):
            self._pool.submit(_close_connections, meeting)
        self._pool.shutdown(wait=False)

    def _leave(self, _: Future[Any]) -> None:
        with self._lock:
            self._in_flight -= 1


def _with_fresh_connections(work: Callable[..., Result], *args: Any, **kwargs: Any) -> Result:
    try:
        return work(*args, **kwargs)
    except (OperationalError, InterfaceError):
        if not _drop_broken_connections():
            raise
        # The database was restarted since this thread's last query. What runs here reads, or sets what it sets again.
        return work(*args, **kwargs)
    finally:
        for connection in connections.all(initialized_only=True):
            connection.close_if_unusable_or_obsolete()


def _drop_broken_connections() -> bool:
    """Close what the database no longer answers on; return whether there was any."""
    broken = [
        connection
        for connection in connections.all(initialized_only=True)
        if connection.connection is not None and not connection.is_usable()
    ]
    for connection in broken:
        connection.close()
    return bool(broken)


def _close_connections(meeting: threading.Barrier | None) -> None:
    """Close this thread's connections; the barrier sees to it that every thread of the pool comes by once."""
    connections.close_all()
    if meeting is not None:
        try:
            meeting.wait(timeout=1)
        except threading.BrokenBarrierError:
            return  # a thread is stuck in a query; its connection ends with the process
