"""Whether this process can serve: its database and its channel layer, each under a time limit."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from asgiref.sync import async_to_sync
from channels.layers import get_channel_layer
from django.db import connections, router

from chat import runtime
from chat.models import ChatSession

ALIVE = {"status": "healthy"}
_LIMIT_S = 1.0  # seconds; a probe that waits longer is a "no"


class _Part:
    """One part and its thread: what hangs holds up neither the other part nor the threads that serve people."""

    def __init__(self, name: str) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"chat-health-{name}")
        self._lock = threading.Lock()
        self._asked: Future[None] | None = None
        self._until = 0.0

    def begin(self, ask: Callable[[], None]) -> Callable[[], str]:
        """Ask the part, or join whoever waits for it already; return what waits for the word.

        A thread that hangs cannot be stopped: until it comes back, it has no time left, and the word is there at once.
        """
        with self._lock:
            if self._asked is None or self._asked.done():
                self._asked, self._until = self._thread.submit(ask), time.monotonic() + _LIMIT_S
            asked, until = self._asked, self._until
        return lambda: _word(asked, until)


_database, _channel_layer = _Part("database"), _Part("layer")


def checks() -> dict[str, str]:
    """Return the word for each part: "ok", or what is the matter. Names parts, never addresses or exception text."""
    database, channel_layer = _database.begin(_ask_database), _channel_layer.begin(_ask_layer)
    return {
        "database": database(),
        "channel_layer": channel_layer(),
        "server": "draining" if runtime.is_any_draining() else "ok",
    }


def readiness() -> tuple[int, dict[str, Any]]:
    """Return the HTTP status and the answer: 503 with the failing check while this process should get no traffic."""
    found = checks()
    is_ready = all(word == "ok" for word in found.values())
    return 200 if is_ready else 503, {"status": "ready" if is_ready else "not ready", "checks": found}


def _word(asked: Future[None], until: float) -> str:
    try:
        asked.result(max(0.0, until - time.monotonic()))
    except TimeoutError:
        return "no answer"
    except Exception:
        return "unavailable"
    return "ok"


def _ask_database() -> None:
    connection = connections[router.db_for_read(ChatSession)]
    try:
        ChatSession.objects.using(connection.alias).exists()
    finally:
        connection.close()


def _ask_layer() -> None:
    async def ask() -> None:
        async with asyncio.timeout(_LIMIT_S):
            await get_channel_layer().group_send("chat.health", {"type": "chat.health"})

    async_to_sync(ask)()
