"""How the end of a reply is stored, and told once to every connection of its session."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import msgspec

from chat import conf, groups, protocol
from chat.entries import Ended
from chat.hub import Hub
from chat.journal import Journal
from chat.models import ReplyPhase
from chat.reply_jobs import EndReply
from errors.exceptions import ChatError
from errors.failure import ErrorPayload, Failure
from errors.loggers import get_logger
from errors.taxonomy import DATABASE_ERROR, Outcome

log = get_logger("chat.replies")

_HANGING_S = 20.0  # seconds more that a database may hang with the end of a reply in its hands
_TOLD_LATE_S = 0.5  # seconds for the end to be stored where it has waited long enough already


class ReplyEnds:
    """One per event loop; owned by `Replies`.

    Attributes:
        patience_s: Seconds that an end waits to be stored before people are told; shorter while going down.
        unstored: Replies whose failure is being told, or was and still waits for the database. They are nobody's
            orphans; the reaper renews their leases.
    """

    def __init__(self, hub: Hub, journal: Journal) -> None:
        self.patience_s = conf.chat().end_patience_s
        self.unstored: set[str] = set()
        self._hub = hub
        self._journal = journal

    async def finish(self, job: EndReply, *, session_id: str, in_reply_to: str, continues: str | None) -> None:
        """Tell every connection that a reply has ended without a failure, once that is stored.

        Where another process has ended it, that one tells.

        Raises:
            ChatError: DATABASE_ERROR when that takes too long. It is not stored then, unless the database itself hangs
                with it: a person who was told so finds the answer whole once it comes back.
        """
        ended = await self._stored(job)
        if ended is None:
            return
        frame = protocol.AiResponse(
            session_id=session_id,
            reply_id=job.reply_id,
            in_reply_to=in_reply_to,
            continues=continues,
            content="",
            offset=len(job.text),
            metadata=protocol.DONE,
            seq=ended.seq,
            message_id=ended.message_id,
            content_length=len(job.text),
            state=ended.state,
        )
        self._hub.broadcast(groups.of_session(session_id), frame)

    async def _stored(self, job: EndReply) -> Ended | None:
        await asyncio.wait({job.future}, timeout=self.patience_s)
        if not job.future.done() and not self._journal.withdraw(job):
            await asyncio.wait({job.future}, timeout=_HANGING_S)
        if not job.future.done() or job.future.cancelled():
            raise ChatError(DATABASE_ERROR, detail="the reply's end could not be stored in time")
        return cast("Ended | None", job.future.result())

    async def tell(
        self,
        failure: Failure,
        payload: ErrorPayload,
        job: EndReply,
        *,
        session_id: str,
        in_reply_to: str,
        continues: str | None,
    ) -> None:
        """Tell every connection once how the reply failed, as soon as that is stored, or when it has taken too long.

        The job goes on until the database has it: what people were told is what `resume` and history say, too.
        """
        self.unstored.add(job.reply_id)
        try:
            has_waited = failure.spec is DATABASE_ERROR
            await asyncio.wait(
                {job.future}, timeout=min(self.patience_s, _TOLD_LATE_S) if has_waited else self.patience_s
            )
            if job.future.done() and job.future.exception() is not None:
                job = await self._end_without_text(job, session_id)
                # What had arrived is not kept after all: the frame, the row and the history must not say that it is.
                failure.outcome = Outcome.SAVED
                payload = msgspec.structs.replace(payload, outcome=Outcome.SAVED.value)
            ended: Ended | None = None
            is_late = not job.future.done() or job.future.exception() is not None
            if not is_late and (ended := job.future.result()) is None:
                failure.settle(None, deliveries=0)  # another process told, or the session is gone
                return
            error = protocol.ErrorFrame(
                session_id=session_id,
                reply_id=job.reply_id,
                in_reply_to=in_reply_to,
                continues=continues,
                error=payload,
            )
            frame = _with_row(error, job, ended)
            if is_late:
                job.future.add_done_callback(lambda future: self._on_stored(job, future, frame))
            delivery = await self._hub.tell(groups.of_session(session_id), frame)
            failure.settle(protocol.encode(frame), deliveries=delivery.deliveries, drops=delivery.drops)
        finally:
            job.future.add_done_callback(lambda _: self.unstored.discard(job.reply_id))

    async def _end_without_text(self, refused: EndReply, session_id: str) -> EndReply:
        """Store only that the reply failed, where the database refuses its text; an orphan would be told again."""
        job = self._journal.end_reply(
            session_id,
            refused.reply_id,
            state=ReplyPhase.FAILED.value,
            text="",
            error=refused.public_error and {**refused.public_error, "outcome": Outcome.SAVED.value},
            figures=refused.figures,
        )
        await asyncio.wait({job.future}, timeout=_TOLD_LATE_S)
        return job

    def _on_stored(self, job: EndReply, future: asyncio.Future[Any], told: protocol.ErrorFrame) -> None:
        """The end that people were told before is stored now, or never will be."""
        if future.cancelled():
            return
        if (exc := future.exception()) is not None:
            log.warning("chat.reply_end_not_stored", reply_id=job.reply_id, cause=str(exc))
        elif (ended := future.result()) is not None and ended.state == job.state:
            # Who came in between was shown a reply that runs. Everybody else has its end; where there is text they get
            # the message that it became, for that has a number of its own.
            # Where a database that hung has stored another end after all, heartbeats tell that there is a message.
            self._hub.broadcast(groups.of_session(told.session_id or ""), _with_row(told, job, ended))


def _with_row(told: protocol.ErrorFrame, job: EndReply, ended: Ended | None) -> protocol.ErrorFrame:
    """The terminal frame of a failed reply, with the message that its text became."""
    if ended is None or ended.seq is None:
        return told
    return msgspec.structs.replace(told, seq=ended.seq, message_id=ended.message_id, content_length=len(job.text))
