"""The one way to make messages durable; gives them their `seq`. Nothing is acknowledged before it has returned.

Appends, and the ends and checkpoints of replies, are jobs of one writer, which commits everything that came while it
was busy in one transaction. Each result comes back after the COMMIT.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Hashable, Sequence
from typing import Any

from django.db import router

from chat import conf
from chat.entries import Draft, Figures, Orphan, Retried, Stored
from chat.jobs import Append, Job, Retry
from chat.models import ChatMessage
from chat.reply_jobs import Checkpoint, ClaimOrphans, EndReply, RenewLeases, RequestStop
from chat.sessions import as_uuid, user_key
from chat.writer import RETRY_AFTER_MS, Writer
from errors.exceptions import ChatError
from errors.loggers import get_logger
from errors.taxonomy import DATABASE_ERROR, SERVER_BUSY, Outcome

log = get_logger("chat.journal")

_OF_WRITER = 0.9  # of the time limit, in which the writer tries; the rest is for its last try to end
_SWEEP_S = 0.05  # seconds between looks at what is overdue
_CLOSE_S = 2.0  # seconds that the writer gets for what is queued

OnLate = Callable[[Job, Any], None]


class Journal:
    """Durable appends. One per event loop; owned by `runtime`.

    Attributes:
        on_late: Called with a job and its result when nobody waits for it any more: its caller has been told
            `unknown`, or has gone. What was stored must not be left alone.
    """

    def __init__(self, runner: str) -> None:
        self.on_late: OnLate | None = None
        self._writer = Writer(router.db_for_write(ChatMessage), runner, self._finish)
        self._loop = asyncio.get_running_loop()
        self._in_flight: dict[Job, None] = {}
        self._messages: dict[Hashable, int] = {}  # how many of these store the same one
        self._fresh: list[Job] = []  # of this turn of the loop
        self._sweeper: asyncio.TimerHandle | None = None

    @property
    def waiting(self) -> int:
        """Jobs that are neither committed nor refused."""
        return len(self._in_flight)

    async def append(self, draft: Draft) -> Stored:
        """Store a user message, and its pending reply with it, and return it with its sequence number.

        Returns after COMMIT. The same `ref` again returns what was stored the first time, as `duplicate`.

        Raises:
            ChatError: NOT_FOUND, SESSION_ENDED, DUPLICATE_MISMATCH, TOO_MANY_ANSWERS, ALLOWANCE_USED_UP;
                SERVER_BUSY when the queue is full; DATABASE_ERROR, with outcome `unknown` where the commit may have
                happened.
        """
        stored: Stored = await self._submit(
            Append(
                future=self._loop.create_future(),
                deadline=self._deadline(),
                session_key=as_uuid(draft.session_id, "session_id") if draft.session_id is not None else None,
                draft=draft,
                owner_key=user_key(draft.user_id),
            )
        )
        return stored

    async def retry(
        self, session_id: str, message_id: str, user_id: str, model_id: str, *, is_continued: bool = False
    ) -> Retried:
        """Return the running or complete reply to a message, or a new pending one, which may continue the one before.

        Raises:
            ChatError: NOT_FOUND, SESSION_ENDED, TOO_MANY_ANSWERS, ALLOWANCE_USED_UP, SERVER_BUSY, DATABASE_ERROR.
        """
        retried: Retried = await self._submit(
            Retry(
                future=self._loop.create_future(),
                deadline=self._deadline(),
                session_key=as_uuid(session_id, "message_id"),
                message_id=message_id,
                user_id=user_id,
                owner_key=user_key(user_id),
                model_id=model_id,
                is_continued=is_continued,
            )
        )
        return retried

    def end_reply(
        self,
        session_id: str,
        reply_id: str,
        *,
        state: str,
        text: str,
        error: dict[str, object] | None = None,
        figures: Figures | None = None,
    ) -> EndReply:
        """Begin to end a reply and to store its text as a message. It is tried until the database has it.

        Await the job's `future`: an `Ended`; None if another process has ended it, or the session is gone. `withdraw`
        takes it back. The future raises a ChatError (DATABASE_ERROR) only where the data themselves are refused.
        """
        job = EndReply(
            future=self._loop.create_future(),
            deadline=None,
            session_key=as_uuid(session_id),
            reply_id=reply_id,
            state=state,
            text=text,
            public_error=error,
            figures=figures or Figures(),
        )
        # It also looks at what the future raises: where nobody waits any more, asyncio must not report that.
        job.future.add_done_callback(job.count)
        self._put(job)
        return job

    async def checkpoint(self, reply_id: str, text: str) -> bool | None:
        """Store a running reply's text so far and renew its lease.

        Returns:
            Whether somebody asked to stop; None when the reply is no longer ours: it was ended, or taken over.
        """
        wants_stop: bool | None = await self._submit(
            Checkpoint(future=self._loop.create_future(), deadline=self._deadline(), reply_id=reply_id, text=text)
        )
        return wants_stop

    async def request_stop(self, reply_id: str) -> None:
        """Leave the wish to stop for the process that runs the reply."""
        await self._submit(RequestStop(future=self._loop.create_future(), deadline=self._deadline(), reply_id=reply_id))

    async def renew_leases(self, reply_ids: frozenset[str]) -> None:
        """Renew the leases of replies that this process has not ended yet."""
        await self._submit(
            RenewLeases(future=self._loop.create_future(), deadline=self._deadline(), reply_ids=reply_ids)
        )

    async def claim_orphans(self) -> list[Orphan]:
        """Take over replies whose process has not renewed its lease."""
        orphans: list[Orphan] = await self._submit(
            ClaimOrphans(future=self._loop.create_future(), deadline=self._deadline())
        )
        return orphans

    def withdraw(self, job: Job) -> bool:
        """Take a job back; False when it may be happening already. Then it fails instead of being tried again."""
        if not self._writer.withdraw(job):
            job.is_unwanted = True
            return False
        self._forget(job)
        job.future.cancel()
        return True

    async def aclose(self) -> None:
        """Write what is queued, for a short time, and end the writer."""
        await asyncio.sleep(0)  # what was put in this turn goes over first
        self._writer.close()
        if self._writer.is_alive:
            await asyncio.to_thread(self._writer.join, _CLOSE_S)
        if self._sweeper is not None:
            self._sweeper.cancel()
        await asyncio.sleep(0)  # the last results have been handed to the loop, but not yet to who waits

    # --- On the event loop ---

    def _deadline(self) -> float:
        return time.monotonic() + conf.chat().database_timeout_s * _OF_WRITER

    async def _submit(self, job: Job) -> Any:
        if self.waiting >= conf.chat().database_queue_size:
            raise ChatError(SERVER_BUSY, retry_after_ms=RETRY_AFTER_MS, detail="the journal's queue is full")
        self._put(job)
        try:
            return await job.future
        except asyncio.CancelledError:
            if job.future.done() and not job.future.cancelled() and job.future.exception() is None:
                self._hand_on(job)  # the result was there, and its caller is cancelled before its turn
            raise

    def _put(self, job: Job) -> None:
        self._in_flight[job] = None
        if (message := job.message) is not None:
            self._messages[message] = self._messages.get(message, 0) + 1
        if not self._fresh:
            # What this turn of the loop brings goes over together: one wake-up of the thread, one transaction.
            self._loop.call_soon(self._hand_over)
        self._fresh.append(job)
        if self._sweeper is None:
            self._sweeper = self._loop.call_later(_SWEEP_S, self._sweep)

    def _hand_over(self) -> None:
        fresh, self._fresh = self._fresh, []
        self._writer.submit(fresh)

    def _finish(self, jobs: Sequence[Job]) -> None:
        """Hand out what a batch brought."""
        for job in jobs:
            self._forget(job)
            if job.future.done():
                self._hand_on(job)
            elif job.error is not None:
                self._soften(job, job.error)
                job.future.set_exception(job.error)
            else:
                job.future.set_result(job.result)

    def _hand_on(self, job: Job) -> None:
        if job.error is not None or self.on_late is None:
            return
        try:
            self.on_late(job, job.result)
        except Exception as exc:
            # The rest of this batch is committed, and its people wait for their acks.
            log.error("chat.late_result_failed", job=type(job).__name__, exc_info=exc)

    def _sweep(self) -> None:
        """Answer what is overdue. The writer answers for itself; this is for when it hangs in the database."""
        self._sweeper = self._loop.call_later(_SWEEP_S, self._sweep) if self._in_flight else None
        # Only after the writer had its chance to say for certain that nothing was stored.
        now = time.monotonic() - conf.chat().database_timeout_s * (1 - _OF_WRITER)
        for job in [job for job in self._in_flight if job.deadline is not None and job.deadline <= now]:
            if job.future.done():
                continue
            job.is_given_up = True
            outcome = Outcome.UNKNOWN
            if self._writer.withdraw(job):
                outcome = Outcome.REJECTED
                self._forget(job)
            detail = f"no answer within {conf.chat().database_timeout_s} s"
            error = ChatError(DATABASE_ERROR, retry_after_ms=RETRY_AFTER_MS, outcome=outcome, detail=detail)
            self._soften(job, error)
            job.future.set_exception(error)

    def _soften(self, job: Job, error: Exception) -> None:
        """Nothing was stored by this job; but the same message, sent before, may be in the hands of the database."""
        if isinstance(error, ChatError) and error.outcome is Outcome.REJECTED and job.message in self._messages:
            error.outcome = Outcome.UNKNOWN

    def _forget(self, job: Job) -> None:
        if job not in self._in_flight:
            return
        del self._in_flight[job]
        if (message := job.message) is not None:
            self._messages[message] -= 1
            if not self._messages[message]:
                del self._messages[message]
