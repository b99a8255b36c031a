"""`Runtime`: what one server process shares. One per event loop; owns the journal, hub, replies, threads and tasks."""

from __future__ import annotations

import asyncio
import random
import uuid
import weakref
from collections.abc import Coroutine
from typing import Any, Protocol

import structlog
from django.conf import settings

from chat import access, conf, protocol
from chat.activity import Activity
from chat.database import DatabaseThreads
from chat.faults import Faults
from chat.heartbeat import Beating, Heartbeat
from chat.hub import Hub
from chat.journal import Journal
from chat.limits import MessageLimit
from chat.llm import registry
from chat.repair import Repairs
from chat.replies import Replies
from errors.rows import row_writer
from errors.taxonomy import CLOSE_RESTARTING

log = structlog.stdlib.get_logger("chat.runtime")

_RECONNECT_SPREAD_MS = (500, 5_000)  # milliseconds over which a restart's clients come back

_of_loop: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Runtime] = weakref.WeakKeyDictionary()


def current() -> Runtime:
    """Return the running loop's runtime; the first call makes it and starts its tasks (daphne has no lifespan)."""
    loop = asyncio.get_running_loop()
    if loop not in _of_loop:
        _of_loop[loop] = Runtime()
    return _of_loop[loop]


def is_any_draining() -> bool:
    """Whether this process is going down. For the readiness probe, which runs on another thread."""
    return any(runtime.is_draining for runtime in tuple(_of_loop.values()))


class Attached(access.Guest, Beating, Protocol):
    """A connection, as the runtime sees it."""

    def close(self, code: int) -> None: ...


class Runtime:
    def __init__(self) -> None:
        chat = conf.chat()
        queue_size, timeout_s = chat.database_queue_size, chat.database_timeout_s
        self.threads = DatabaseThreads("chat-query", chat.database_threads, queue_size=queue_size, timeout_s=timeout_s)
        self.id = uuid.uuid4().hex
        self.journal = Journal(runner=self.id)
        self.hub = Hub()
        self.activity = Activity(self.hub)
        self.backend = registry.load()
        self.message_limit = MessageLimit(getattr(settings, "REDIS_URL", ""))
        self.faults = Faults()
        self.replies = Replies(hub=self.hub, journal=self.journal, threads=self.threads, backend=self.backend)
        self.journal.on_late = self.replies.on_late
        self.connections: dict[str, Attached] = {}
        self.access = access.Access(self.threads, self.connections.values)
        self.hub.on_access_changed = self.access.look_at
        self.repairs = Repairs(self.threads, self.replies, self.spawn)
        self.heartbeat = Heartbeat(self.threads, self.repairs, self.connections.values)
        self.hub.on_behind = self.heartbeat.beat_now
        self.is_draining = False
        self._tasks: set[asyncio.Task[None]] = set()
        for work in (
            *self.hub.work(),
            self.activity.tell(),
            self.replies.reap(),
            self.access.keep_watch(),
            self.heartbeat.keep_beating(),
            self.backend.warm_up(),
        ):
            self.spawn(work)

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run `work` as a task that this runtime owns and ends."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._on_done)
        return task

    def _on_done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (exc := task.exception()) is not None:
            log.error("chat.task_died", task=str(task.get_coro()), exc_info=exc)

    def goodbye(self, reason: str = "restarting") -> protocol.Goodbye:
        return protocol.Goodbye(reason=reason, reconnect_in=random.randint(*_RECONNECT_SPREAD_MS))  # noqa: S311

    async def aclose(self, *, grace_s: float = 0.0) -> None:
        """Tell everybody goodbye, end running replies, close every socket, write what is queued, end every task.

        New connections are told goodbye from the first moment on. Serves SIGTERM and tests.
        """
        self.is_draining = True
        for connection in tuple(self.connections.values()):
            connection.push(self.goodbye())
        await self.replies.aclose(grace_s)
        await self.journal.aclose()
        for connection in tuple(self.connections.values()):
            connection.close(CLOSE_RESTARTING)
        await asyncio.sleep(0)
        await self.hub.aclose()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.to_thread(row_writer.flush)
        self.threads.close()
        _of_loop.pop(asyncio.get_running_loop(), None)
