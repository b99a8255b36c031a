"""Heartbeats: every connection hears regularly how far its sessions have come, and what it was not sent is repaired.

A frame that the channel layer lost is noticed here at the latest, even if nothing else is said in the session.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Collection
from contextlib import suppress
from typing import Protocol

import structlog

from chat import conf, missed, protocol
from chat.database import DatabaseThreads
from chat.missed import SilentEnd
from chat.repair import Patient, Repairs

log = structlog.stdlib.get_logger("chat.heartbeat")

_SLICE = 200  # connections at a time; then others have a turn
_SLICE_PAUSE_S = 0.02  # seconds between two slices: a thousand connections take a tenth of a second


class Beating(Patient, Protocol):
    """A connection, as the heartbeat sees it."""

    @property
    def session_ids(self) -> tuple[str, ...]: ...

    def push(self, frame: protocol.Frame) -> bool: ...


class Heartbeat:
    """One per event loop; owned by `runtime`."""

    def __init__(
        self, threads: DatabaseThreads, repairs: Repairs, connections: Callable[[], Collection[Beating]]
    ) -> None:
        self._threads = threads
        self._repairs = repairs
        self._connections = connections
        self._now = asyncio.Event()

    def beat_now(self) -> None:
        """Frames may have been lost: do not wait for the next beat. Never waits."""
        self._now.set()

    async def keep_beating(self) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(conf.chat().heartbeat_s):
                    await self._now.wait()
            self._now.clear()
            await self._beat()

    async def _beat(self) -> None:
        connections = tuple(self._connections())
        wanted = {session_id for connection in connections for session_id in connection.session_ids}
        tops: dict[str, int] = {}
        ends: dict[str, list[SilentEnd]] = defaultdict(list)
        if wanted:
            try:
                # Two beats long, so that an end falls into at least one.
                within_s = 2 * conf.chat().heartbeat_s
                tops, found = await self._threads.run(
                    lambda: (missed.tops(wanted), missed.silent_ends(wanted, within_s))
                )
            except Exception as exc:
                log.warning("chat.heartbeat_without_tops", cause=type(exc).__name__)
            else:
                for end in found:
                    ends[end.session_id].append(end)
        for index in range(0, len(connections), _SLICE):
            for connection in connections[index : index + _SLICE]:
                self._tell(connection, tops, ends)
            await asyncio.sleep(_SLICE_PAUSE_S)

    def _tell(self, connection: Beating, tops: dict[str, int], ends: dict[str, list[SilentEnd]]) -> None:
        top = {session_id: tops[session_id] for session_id in connection.session_ids if session_id in tops}
        for session_id in top:
            progress = connection.progress(session_id)
            if progress is None:
                continue
            progress.note_top(top[session_id])
            for end in ends.get(session_id, ()):
                progress.note_end(end.reply_id, end.created_at)
            if progress.is_behind:
                self._repairs.look_at(connection, session_id)
        connection.push(protocol.Heartbeat(top=top))
