"""Whether this process can serve: its database and its channel layer, each under a time limit."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from asgiref.sync import async_to_sync
from channels.layers import get_channel_layer
from django.db import connections, router

from chat import runtime
from chat.models import ChatSession

_LIMIT_S = 1.0  # seconds; a probe that waits longer is a "no"

# Few threads of their own: a hung database must not hold up the threads that serve people.
_threads = ThreadPoolExecutor(2, thread_name_prefix="chat-health")


def checks() -> dict[str, str]:
    """Return the word for each part: "ok", or what is the matter. Names parts, never addresses or exception text."""
    return {
        "database": _word(_ask_database),
        "channel_layer": _word(_ask_layer),
        "server": "draining" if runtime.is_any_draining() else "ok",
    }


def _word(ask: Callable[[], None]) -> str:
    future = _threads.submit(ask)
    try:
        future.result(_LIMIT_S)
    except TimeoutError:
        future.cancel()
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
