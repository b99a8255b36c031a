"""Sessions that nobody has used for a long time end by themselves, except those that are open or being answered.

Every process says now and then, in the database, which sessions its connections are registered with; a session of
which no process has said so for three times as long is open nowhere. Any process ends what is idle, and each session is
ended by one of them.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Collection, Iterable
from datetime import timedelta
from itertools import islice
from typing import Protocol

from django.db.models import Exists, OuterRef
from django.db.models.functions import Now
from django.utils import timezone

from chat import announcements, conf
from chat.database import DatabaseThreads
from chat.models import RUNNING, ChatSession, Reply
from chat.sessions import as_uuid, rows
from errors.loggers import get_logger

log = get_logger("chat.idle_sessions")

_ROUND_S = 3_600.0  # seconds between rounds, where the limit is not so short that it needs them more often
_ROUNDS = 8  # at least, within the limit
_FIRST_S = 300.0  # seconds until the first round, at most: processes that are restarted often do their share
_MISSED_ROUNDS = 3  # until a session that was open somewhere counts as closed
_BATCH = 100  # sessions ended, and 500 marked, in one go of a database thread
_MARKED = 500


class Viewer(Protocol):
    """A connection, as it is seen here."""

    @property
    def session_ids(self) -> tuple[str, ...]: ...


class IdleSessions:
    """One per event loop; owned by `runtime`.

    Args:
        viewers: Returns who is connected now.
    """

    def __init__(self, threads: DatabaseThreads, viewers: Callable[[], Iterable[Viewer]]) -> None:
        self._threads = threads
        self._viewers = viewers

    async def keep_ending(self) -> None:
        # Not all processes at the same time.
        await asyncio.sleep(random.uniform(0.1, 1) * min(_FIRST_S, _round_s()))  # noqa: S311
        while True:
            try:
                await self.end_idle()
            except Exception as exc:
                log.warning("chat.idle_sessions_not_ended", cause=type(exc).__name__)
            await asyncio.sleep(random.uniform(0.8, 1.2) * _round_s())  # noqa: S311

    async def end_idle(self) -> None:
        """One round: first say what is open here, then end what is open nowhere."""
        seen = iter({session_id for viewer in self._viewers() for session_id in viewer.session_ids})
        while some := list(islice(seen, _MARKED)):
            await self._threads.run(mark_seen, some)
        while await self._threads.run(_end_some) == _BATCH:
            pass


def is_nearly_idle(session: ChatSession) -> bool:
    """Whether a session that somebody opens now has to be marked at once, so that no round ends it meanwhile."""
    return session.ended_at is None and session.last_activity_at < timezone.now() - _limit() / 2


def mark_seen(session_ids: Collection[str]) -> None:
    """Note that somebody has these sessions open. Synchronous ORM."""
    keys = [as_uuid(session_id) for session_id in session_ids]
    # Those in use tell it themselves.
    quiet = rows(ChatSession).filter(pk__in=keys, ended_at=None, last_activity_at__lt=Now() - _limit() / 2)
    quiet.update(seen_at=Now())


def _end_some() -> int:
    """End idle sessions and tell their people; return how many were found. Synchronous ORM."""
    # The database's clock: one process whose own jumps ahead must not end what the others' people have open.
    running = Reply.objects.filter(session=OuterRef("pk"), state__in=RUNNING)
    idle = (
        rows(ChatSession)
        .filter(~Exists(running), ended_at=None, last_activity_at__lt=Now() - _limit())
        .exclude(seen_at__gte=Now() - timedelta(seconds=_MISSED_ROUNDS * _round_s()))
    )
    found = list(idle.values_list("pk", "owner_id")[:_BATCH])
    for key, owner in found:
        # One by one, and only if it still is: it may have been used, opened or ended in between.
        if idle.filter(pk=key).update(ended_at=Now()):
            announcements.announce(str(owner), str(key), announcements.SessionEvent.ENDED)
    return len(found)


def _limit() -> timedelta:
    return timedelta(seconds=conf.chat().idle_session_s)


def _round_s() -> float:
    return min(_ROUND_S, conf.chat().idle_session_s / _ROUNDS)
