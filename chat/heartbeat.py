"""Heartbeats: every connection hears regularly how far its sessions have come, and what it was not sent is repaired.

A frame that the channel layer lost is noticed here at the latest, even if nothing else is said in the session.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from typing import Protocol

from chat import conf, missed, protocol
from chat.database import DatabaseThreads
from chat.missed import SilentEnd
from chat.repair import Patient, Repairs
from errors.loggers import get_logger

log = get_logger("chat.heartbeat")

_AGAIN_S = 1.0  # seconds until the database is asked again
_GATHER_S = 0.2  # seconds in which those come together who are looked after at once
_SLICE = 200  # connections at a time; then others have a turn
_SLICE_PAUSE_S = 0.02  # seconds between two slices: a thousand connections take a tenth of a second


class Beating(Patient, Protocol):
    """A connection, as the heartbeat sees it."""

    @property
    def session_ids(self) -> tuple[str, ...]: ...

    def push(self, frame: protocol.Frame) -> bool: ...


class Pacemaker:
    """Makes the heartbeats. One per event loop; owned by `runtime`."""

    def __init__(
        self, threads: DatabaseThreads, repairs: Repairs, connections: Callable[[], Collection[Beating]]
    ) -> None:
        self._threads = threads
        self._repairs = repairs
        self._connections = connections
        self._now = asyncio.Event()
        self._suspects: set[Beating] = set()
        self._wake = asyncio.Event()

    def beat_now(self) -> None:
        """Frames may have been lost: do not wait for the next beat. Never waits."""
        self._now.set()

    def look_at(self, connections: Collection[Beating]) -> None:
        """Frames for these may be lost. They hear nothing of the look unless there is something. Never waits."""
        self._suspects.update(connections)
        self._wake.set()

    async def keep_looking(self) -> None:
        """Look after those for whom frames may be lost: together, for they are many when people come back at once."""
        while True:
            await self._wake.wait()
            await asyncio.sleep(_GATHER_S)
            self._wake.clear()
            if not await self._look_at_suspects():
                self._wake.set()
                await asyncio.sleep(_AGAIN_S)

    async def _look_at_suspects(self) -> bool:
        """Look once; False: again, as soon as there is a database. Nothing here outlives it that names a connection."""
        suspects, self._suspects = tuple(self._suspects), set()
        read = await self._read(suspects)
        if read is None:
            self._suspects.update(suspects)
            return False
        tops, ends = read
        for some in _slices(suspects):
            for connection in some:
                self._look_after(connection, tops, ends)
            await asyncio.sleep(_SLICE_PAUSE_S)
        return True

    async def keep_beating(self) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(conf.chat().heartbeat_s):
                    await self._now.wait()
            self._now.clear()
            await self._beat()

    async def _beat(self) -> None:
        connections = tuple(self._connections())
        tops, ends = await self._read(connections) or ({}, {})
        for some in _slices(connections):
            for connection in some:
                connection.push(protocol.Heartbeat(top=self._look_after(connection, tops, ends)))
            await asyncio.sleep(_SLICE_PAUSE_S)

    async def _read(self, connections: Collection[Beating]) -> tuple[dict[str, int], dict[str, list[SilentEnd]]] | None:
        """Return how far the sessions of these have come, and the replies in them that ended in silence.

        None: the database does not answer.
        """
        wanted = {session_id for connection in connections for session_id in connection.session_ids}
        ends: dict[str, list[SilentEnd]] = defaultdict(list)
        if not wanted:
            return {}, ends
        within_s = 2 * conf.chat().heartbeat_s  # two beats long, so that an end falls into at least one
        try:
            tops, found = await self._threads.run(lambda: (missed.tops(wanted), missed.silent_ends(wanted, within_s)))
        except Exception as exc:
            log.warning("chat.heartbeat_without_tops", cause=type(exc).__name__)
            return None
        for end in found:
            ends[end.session_id].append(end)
        return tops, ends

    def _look_after(
        self, connection: Beating, tops: dict[str, int], ends: dict[str, list[SilentEnd]]
    ) -> dict[str, int]:
        """Have what the connection lacks repaired; return how far its sessions have come."""
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
        return top


def _slices(connections: Sequence[Beating]) -> Iterator[Sequence[Beating]]:
    for start in range(0, len(connections), _SLICE):
        yield connections[start : start + _SLICE]
