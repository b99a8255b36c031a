"""Ends the replies of processes that are gone, so that nobody waits for an answer that will not come."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any

import msgspec

from chat import conf
from chat.entries import Orphan
from chat.journal import Journal
from chat.models import ReplyPhase
from chat.reply_ends import ReplyEnds
from chat.reply_jobs import MAX_CLAIMED, EndReply
from errors.context import RouteContext
from errors.exceptions import ChatError
from errors.failure import ErrorPayload, Failure
from errors.loggers import get_logger
from errors.middleware import ErrorMiddleware
from errors.taxonomy import REPLY_INTERRUPTED, Action, Outcome, Stage

log = get_logger("chat.replies")


class Reaper:
    """One per event loop; made and run by `Replies`.

    Args:
        running: The ids of the replies that run in this process.
        accepted_actions: What the server would take now.
        spawn: Runs a task that `Replies` owns.
        is_closed: Whether nobody would see to such a task any more.
    """

    def __init__(
        self,
        journal: Journal,
        ends: ReplyEnds,
        *,
        running: Callable[[], frozenset[str]],
        accepted_actions: Callable[[], tuple[Action, ...]],
        spawn: Callable[[Coroutine[Any, Any, None]], object],
        is_closed: Callable[[], bool],
    ) -> None:
        self._journal = journal
        self._ends = ends
        self._running = running
        self._accepted_actions = accepted_actions
        self._spawn = spawn
        self._is_closed = is_closed
        self._stop_or_fail = ErrorMiddleware(self._stop)
        self._ending: set[str] = set()  # orphans that were claimed and are not told yet

    async def reap(self) -> None:
        """End replies whose lease is over: partial where a checkpoint was stored, and told to who is there."""
        not_before = 0.0
        while True:
            await asyncio.sleep(conf.chat().lease_s / 3)
            try:
                # Another process has no other sign that somebody sees to them.
                if unstored := self._unstored():
                    await self._journal.renew_leases(unstored)
                if time.monotonic() < not_before:
                    continue
                # A big process leaves hundreds, and nobody is to wait for a dozen rounds.
                while await self._reap_some() == MAX_CLAIMED:
                    pass
            except ChatError as exc:
                # After an outage every lease is over. Whoever runs a reply gets the time to say that it still does.
                not_before = time.monotonic() + conf.chat().lease_s
                log.warning("chat.reaper_failed", cause=str(exc))

    async def _reap_some(self) -> int:
        """Begin to end some; return how many were claimed."""
        # As of before the claim: one that ends here meanwhile is told by its own task, and by nobody else.
        running = self._running() | self._unstored()
        orphans = await self._journal.claim_orphans()
        if self._is_closed():
            return 0  # they are another process's once the new lease is over
        for orphan in orphans:
            if orphan.reply_id not in running:
                self._ending.add(orphan.reply_id)
                self._spawn(self._end(orphan))
        return len(orphans)

    def _unstored(self) -> frozenset[str]:
        """The replies that have no end in the database, although they do not run any more."""
        return frozenset(self._ends.unstored | self._ending)

    async def _end(self, orphan: Orphan) -> None:
        context = RouteContext(
            stage=Stage.REPLY,
            message_type="user_message",
            user_id=orphan.user_id,
            session_id=orphan.session_id,
            ref=orphan.client_ref,
            reply_id=orphan.reply_id,
            in_reply_to=orphan.message_id,
            outcome=Outcome.PARTIAL if orphan.text else Outcome.SAVED,
            attempt=orphan.attempt,
        )
        try:
            failure = await self._stop_or_fail(orphan, context)
            if failure is not None:
                await self._tell(orphan, failure)
        finally:
            self._ending.discard(orphan.reply_id)

    async def _stop(self, orphan: Orphan, context: RouteContext) -> None:
        """End an orphan as its person wished, whose stop was acknowledged; one that nobody stopped has failed."""
        if not orphan.wants_stop:
            raise ChatError(REPLY_INTERRUPTED, detail="its server process is gone")
        job = self._job(orphan, ReplyPhase.STOPPED)
        await self._ends.finish(
            job, session_id=orphan.session_id, in_reply_to=orphan.message_id, continues=orphan.continues
        )

    async def _tell(self, orphan: Orphan, failure: Failure) -> None:
        payload = failure.payload(self._accepted_actions())
        job = self._job(orphan, ReplyPhase.PARTIAL if orphan.text else ReplyPhase.FAILED, payload)
        try:
            await self._ends.tell(
                failure,
                payload,
                job,
                session_id=orphan.session_id,
                in_reply_to=orphan.message_id,
                continues=orphan.continues,
            )
        finally:
            if not failure.is_settled:
                failure.settle(None, deliveries=0)

    def _job(self, orphan: Orphan, state: str, error: ErrorPayload | None = None) -> EndReply:
        return self._journal.end_reply(
            orphan.session_id,
            orphan.reply_id,
            state=state,
            text=orphan.text,
            error=msgspec.to_builtins(error) if error else None,
        )
