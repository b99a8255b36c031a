"""`Runtime`: what one server process shares. One per event loop; owns the journal, hub, replies, threads and tasks."""

from __future__ import annotations

import asyncio
import random
import uuid
import weakref
from collections.abc import AsyncIterator, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from typing import Any, Protocol

from channels.layers import get_channel_layer
from django.conf import settings
from django.db import connections, router

from chat import access, conf, protocol, telemetry
from chat.activity import Activity
from chat.connection_leases import ConnectionLeases
from chat.database import DatabaseThreads
from chat.faults import Faults
from chat.heartbeat import Beating, Pacemaker
from chat.hub import Hub
from chat.idle_sessions import IdleSessions
from chat.journal import Journal
from chat.limits import Limits
from chat.llm import registry
from chat.models import ChatSession
from chat.ownership import Ownership
from chat.redis_gate import RedisGate
from chat.repair import Repairs
from chat.replies import Replies
from errors.loggers import get_logger
from errors.rows import row_writer
from errors.taxonomy import CLOSE_RESTARTING

log = get_logger("chat.runtime")

_LAST_REQUESTS_S = 0.05  # seconds for what was in its handler when we began to go down
_LAST_ROWS_S = 1.5  # seconds for failure rows that wait
_LAST_TASKS_S = 0.5  # seconds for tasks that were cancelled
_LOOK_S = 0.01  # seconds between looks at who is still there
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


telemetry.JOURNAL_WAITING.set_function(lambda: sum(each.journal.waiting for each in tuple(_of_loop.values())))
telemetry.QUERIES_WAITING.set_function(lambda: sum(each.threads.waiting for each in tuple(_of_loop.values())))


@asynccontextmanager
async def suppress_timeout(timeout_s: float) -> AsyncIterator[None]:
    """A block that may take `timeout_s` seconds, and is left then."""
    with suppress(TimeoutError):
        async with asyncio.timeout(timeout_s):
            yield


async def wait_until(condition: Callable[[], bool], timeout_s: float) -> None:
    """Wait for `condition`, at most for `timeout_s` seconds."""
    async with suppress_timeout(timeout_s):
        while not condition():  # noqa: ASYNC110 -- once in a process, and what it counts is counted on the hot path
            await asyncio.sleep(_LOOK_S)


class Attached(access.Guest, Beating, Protocol):
    """A connection, as the runtime sees it."""

    def close(self, code: int) -> None: ...


class Runtime:
    def __init__(self) -> None:
        chat = conf.chat()
        queue_size, timeout_s = chat.database_queue_size, chat.database_timeout_s
        self.threads: DatabaseThreads = DatabaseThreads(
            "chat-query", chat.database_threads, queue_size=queue_size, timeout_s=timeout_s
        )
        self.id = uuid.uuid4().hex
        self.journal: Journal = Journal(runner=self.id)
        self.hub = Hub()
        self.activity = Activity(self.hub)
        self.backend = registry.load()
        self.redis = RedisGate(getattr(settings, "REDIS_URL", ""))
        self.limits = Limits(self.redis)
        self.leases = ConnectionLeases(self.redis)
        self.faults = Faults()
        self.replies = Replies(hub=self.hub, journal=self.journal, threads=self.threads, backend=self.backend)
        self.journal.on_late = self.replies.on_late
        self.hub.on_stop = self.replies.stop_here
        self.connections: dict[str, Attached] = {}
        self.access = access.Access(self.threads, self.connections.values)
        self.idle_sessions = IdleSessions(self.threads, self.connections.values)
        self.hub.on_access_changed = self.access.look_at
        self.repairs = Repairs(self.threads, self.replies, self.spawn)
        self.heartbeat = Pacemaker(self.threads, self.repairs, self.connections.values)
        self.hub.on_behind, self.hub.on_gap = self._look_everywhere, self.heartbeat.look_at
        self.sockets = 0  # open ones, also those that are only told why they are closed
        self.is_draining = False
        self._going_down = asyncio.Lock()
        self._is_down = False
        self._tasks: set[asyncio.Task[None]] = set()
        self.ownership = Ownership(self.threads, self.spawn)
        for work in (
            *self.hub.work(),
            self.activity.tell(),
            self.replies.reap(),
            self.access.keep_watch(),
            self.idle_sessions.keep_ending(),
            self.redis.keep_probing(),
            self.leases.keep_leases(),
            self.heartbeat.keep_beating(),
            self.heartbeat.keep_looking(),
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

    def _look_everywhere(self) -> None:
        """Others may have said anything, unheard: frames, that an access has changed, that a reply is to stop."""
        self.heartbeat.beat_now()
        self.access.look_at(self.connections.values())
        self.replies.look_for_stops()

    def facts(self) -> dict[str, Any]:
        """Return what answers and what carries here, for the log: names and kinds, no addresses."""
        return {
            "models": [model.id for model in self.backend.models],
            "channel_layer": type(get_channel_layer()).__name__,
            "database": connections[router.db_for_write(ChatSession)].vendor,
        }

    def goodbye(self, reason: str = "restarting") -> protocol.Goodbye:
        return protocol.Goodbye(reason=reason, reconnect_in=random.randint(*_RECONNECT_SPREAD_MS))  # noqa: S311

    async def aclose(self, *, grace_s: float = 0.0) -> None:
        """End everything at once except the replies, which get `grace_s` seconds to be stored and told. For tests."""
        await self.drain(ends_s=grace_s)
        _of_loop.pop(asyncio.get_running_loop(), None)

    async def drain(self, *, patience_s: float = 0.0, ends_s: float = 0.0, closes_s: float = 0.0) -> None:
        """Go down: everybody is told goodbye, replies end, sockets close, what is queued is written, tasks end.

        New connections are told goodbye, and messages are refused, from the first moment on. Each step is bounded.
        Who asks for it again waits for the first one, and goes on only where that was cut off.

        Args:
            patience_s: Seconds that running replies may go on; connections without one are closed meanwhile.
            ends_s: Seconds for the rest to be stored and told as interrupted.
            closes_s: Seconds for clients to answer the close.
        """
        self.is_draining = True
        async with self._going_down:
            if not self._is_down:
                await self._go_down(patience_s, ends_s, closes_s)
                self._is_down = True

    async def _go_down(self, patience_s: float, ends_s: float, closes_s: float) -> None:
        for connection in tuple(self.connections.values()):
            connection.push(self.goodbye())
        await asyncio.sleep(min(_LAST_REQUESTS_S, patience_s))
        async with suppress_timeout(patience_s):
            while self.replies.busy_sessions:
                self._close_idle()
                await self.replies.wait_for_one()
        await self.replies.aclose(ends_s)
        for connection in tuple(self.connections.values()):
            connection.close(CLOSE_RESTARTING)
        await asyncio.sleep(0)
        await wait_until(lambda: self.sockets == 0, closes_s)
        last = ThreadPoolExecutor(1, thread_name_prefix="chat-last-rows")  # the loop's own threads may all be stuck
        rows = asyncio.wrap_future(last.submit(row_writer.flush, _LAST_ROWS_S))
        await asyncio.gather(self.journal.aclose(), self.hub.aclose(), rows)
        last.shutdown(wait=False)
        for task in tuple(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=_LAST_TASKS_S)
        await self.redis.aclose()
        await self.backend.aclose()
        self.threads.close()

    def _close_idle(self) -> None:
        """Close the connections that wait for no running reply."""
        busy = self.replies.busy_sessions
        for connection in tuple(self.connections.values()):
            if busy.isdisjoint(connection.session_ids):
                connection.close(CLOSE_RESTARTING)
