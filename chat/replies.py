"""Replies run here, outside any connection: a closed tab does not end one, and it ends exactly once for everybody.

    pending > loading > ai_response chunks > one terminal frame: an `ai_response` with a state, or an `error`

Handlers call `start` and `stop`. `runtime` owns the one instance per event loop.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from typing import Any, cast

import msgspec
import structlog

from chat import conf, frames, groups, protocol, telemetry
from chat.database import DatabaseThreads
from chat.entries import Ended, Orphan
from chat.hub import STOP, Hub
from chat.jobs import Append, EndReply, Job, Retry
from chat.journal import Journal
from chat.llm.choice import Choice
from chat.models import ReplyPhase
from chat.reply_stream import ReplyStream
from errors import recorder
from errors.context import RouteContext
from errors.exceptions import ChatError
from errors.failure import ErrorPayload, Failure
from errors.middleware import ErrorMiddleware
from errors.taxonomy import DATABASE_ERROR, REPLY_INTERRUPTED, Action, Outcome, Stage

log = structlog.stdlib.get_logger("chat.replies")

_HANGING_S = 20.0  # seconds more that a database may hang with the end of a reply in its hands


class Replies:
    def __init__(self, *, hub: Hub, journal: Journal, threads: DatabaseThreads, backend: Choice) -> None:
        self._hub = hub
        self._journal = journal
        self._threads = threads
        self._backend = backend
        self._running: dict[str, ReplyStream] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._busy: dict[asyncio.Task[None], str] = {}  # of each running reply's task: its session
        self._answer = ErrorMiddleware(self._stream_and_store)
        self._is_closing = False
        self._end_patience_s = conf.chat().end_patience_s

    # --- What handlers call ---

    def start(
        self, reply_id: str, *, session_id: str, in_reply_to: str, route: RouteContext, is_continued: bool = False
    ) -> None:
        """Begin to answer. Returns at once; the reply belongs to this process until it ends or its lease does."""
        context = RouteContext(
            stage=Stage.REPLY,
            message_type=route.message_type,
            user_id=route.user_id,
            session_id=session_id,
            connection_id=route.connection_id,
            ref=route.ref,
            reply_id=reply_id,
            in_reply_to=in_reply_to,
            outcome=Outcome.SAVED,
        )
        stream = ReplyStream(
            reply_id,
            session_id,
            in_reply_to,
            hub=self._hub,
            journal=self._journal,
            threads=self._threads,
            is_continued=is_continued,
        )
        self._running[reply_id] = stream
        if self._is_closing:
            stream.interrupt()  # stored while we began to go down
        telemetry.REPLIES_RUNNING.inc()
        self._busy[self._spawn(self._run(stream, context))] = session_id

    async def stop(self, reply_id: str) -> None:
        """Ask the reply to stop, wherever it runs; one that has ended stays as it is."""
        if not self.stop_here(reply_id):
            self._hub.control(groups.HUBS, STOP, reply_id)
            await self._journal.request_stop(reply_id)  # for a layer that is away: looked at with every checkpoint

    def stop_here(self, reply_id: str) -> bool:
        """Stop the reply if it runs in this process; return whether it does."""
        stream = self._running.get(reply_id)
        if stream is not None:
            stream.stop()
        return stream is not None

    def stream(self, reply_id: str) -> ReplyStream | None:
        """Return the reply if it is being written here; of one whose text has ended the database knows."""
        stream = self._running.get(reply_id)
        return stream if stream is not None and stream.is_open else None

    # --- The life of one reply ---

    async def _run(self, stream: ReplyStream, context: RouteContext) -> None:
        self._hub.broadcast(
            groups.of_session(stream.session_id),
            protocol.Loading(session_id=stream.session_id, reply_id=stream.reply_id, in_reply_to=stream.in_reply_to),
        )
        keeper = asyncio.create_task(stream.keep_checkpoints())
        try:
            failure = await self._answer(stream, context)
        finally:
            keeper.cancel()
            self._running.pop(stream.reply_id, None)
            telemetry.REPLIES_RUNNING.dec()
        if failure is not None:
            try:
                await self._end_failed(stream, failure)
            finally:
                if not failure.is_settled:  # cancelled on the way: nobody was told, and the record says so
                    failure.settle(None, deliveries=0)

    async def _stream_and_store(self, stream: ReplyStream, context: RouteContext) -> None:
        try:
            state = await stream.run(self._backend, context)
        except Exception:
            if await stream.is_taken_over():
                return
            raise
        if stream.is_lost:
            return  # another process has ended it, and told everybody
        ended = await self._stored(self._end(stream, state))
        if ended is not None:
            self._hub.broadcast(groups.of_session(stream.session_id), stream.terminal_frame(ended))

    def _end(self, stream: ReplyStream, state: str, error: ErrorPayload | None = None) -> EndReply:
        return self._journal.end_reply(
            stream.session_id,
            stream.reply_id,
            state=state,
            text=stream.text,
            error=msgspec.to_builtins(error) if error else None,
            figures=stream.figures,
        )

    async def _stored(self, job: EndReply) -> Ended | None:
        """Wait until the end of a reply is stored; None where another process has ended it.

        Raises:
            ChatError: DATABASE_ERROR when that takes too long. It is not stored then, unless the database itself hangs
                with it: a person who was told so finds the answer whole once it comes back.
        """
        await asyncio.wait({job.future}, timeout=self._end_patience_s)
        if not job.future.done() and not self._journal.withdraw(job):
            await asyncio.wait({job.future}, timeout=_HANGING_S)
        if not job.future.done() or job.future.cancelled():
            raise ChatError(DATABASE_ERROR, detail="the reply's end could not be stored in time")
        return cast("Ended | None", job.future.result())

    async def _end_failed(self, stream: ReplyStream, failure: Failure) -> None:
        """Store how it failed, then tell every connection once. The text that had arrived is kept."""
        payload = failure.payload(self.accepted_actions())
        job = self._end(stream, ReplyPhase.PARTIAL if stream.text else ReplyPhase.FAILED, payload)
        await self._tell_end(
            failure, payload, job, stream.session_id, stream.reply_id, stream.in_reply_to, len(stream.text)
        )

    async def _tell_end(
        self,
        failure: Failure,
        payload: ErrorPayload,
        job: EndReply,
        session_id: str,
        reply_id: str,
        in_reply_to: str,
        content_length: int,
    ) -> None:
        """Tell every connection once how the reply failed, as soon as that is stored, or when it has taken too long.

        The job goes on until the database has it: what people were told is what `resume` and history say, too.
        """
        await asyncio.wait({job.future}, timeout=self._end_patience_s)
        ended: Ended | None = None
        if not job.future.done() or job.future.exception() is not None:
            job.future.add_done_callback(_note_unstored)
        elif (ended := job.future.result()) is None:
            failure.settle(None, deliveries=0)  # another process told, or the session is gone
            return
        is_kept = ended is not None and ended.seq is not None
        frame = protocol.ErrorFrame(
            session_id=session_id,
            reply_id=reply_id,
            in_reply_to=in_reply_to,
            seq=ended.seq if ended else None,
            message_id=ended.message_id if ended else None,
            content_length=content_length if is_kept else None,
            error=payload,
        )
        delivery = await self._hub.tell(groups.of_session(session_id), frame)
        failure.settle(protocol.encode(frame), deliveries=delivery.deliveries, drops=delivery.drops)

    def accepted_actions(self) -> tuple[Action, ...]:
        """What the server would take now: another model can only be offered where there is one."""
        has_choice = len(self._backend.models) > 1
        return tuple(action for action in Action if action is not Action.SWITCH_MODEL or has_choice)

    # --- Replies that nobody runs ---

    def on_late(self, job: Job, result: Any) -> None:
        """Take care of what the journal stored after its caller was told `unknown`, or had gone.

        The message is shown to whoever is there, and its answer begins: sent again, it is a duplicate with a reply.
        """
        if isinstance(job, Append) and not result.duplicate:
            draft, message_type = job.draft, "user_message"
            self._hub.broadcast(groups.of_session(result.session_id), frames.user_message(result, draft))
            user_id, ref = draft.user_id, draft.ref
        elif isinstance(job, Retry) and result.is_new:
            user_id, ref, message_type = job.user_id, None, "retry"
        else:
            return
        if result.reply_id is not None:
            route = RouteContext(Stage.REPLY, message_type=message_type, user_id=user_id, ref=ref)
            self.start(result.reply_id, session_id=result.session_id, in_reply_to=result.message_id, route=route)

    async def reap(self) -> None:
        """End replies whose lease is over: partial where a checkpoint was stored, and told to who is there."""
        not_before = 0.0
        while True:
            await asyncio.sleep(conf.chat().lease_s / 3)
            if time.monotonic() < not_before:
                continue
            try:
                orphans = await self._journal.claim_orphans()
            except ChatError as exc:
                # After an outage every lease is over. Whoever runs a reply gets the time to say that it still does.
                not_before = time.monotonic() + conf.chat().lease_s
                log.warning("chat.reaper_failed", cause=str(exc))
                continue
            for orphan in orphans:
                if orphan.reply_id not in self._running:
                    self._spawn(self._end_orphan(orphan))

    async def _end_orphan(self, orphan: Orphan) -> None:
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
        failure = recorder.record(ChatError(REPLY_INTERRUPTED, detail="its server process is gone"), context)
        payload = failure.payload(self.accepted_actions())
        job = self._journal.end_reply(
            orphan.session_id,
            orphan.reply_id,
            state=ReplyPhase.PARTIAL if orphan.text else ReplyPhase.FAILED,
            text=orphan.text,
            error=msgspec.to_builtins(payload),
        )
        try:
            await self._tell_end(
                failure, payload, job, orphan.session_id, orphan.reply_id, orphan.message_id, len(orphan.text)
            )
        finally:
            if not failure.is_settled:
                failure.settle(None, deliveries=0)

    # --- Tasks ---

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._forget)
        return task

    def _forget(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._busy.pop(task, None)
        if not task.cancelled() and (exc := task.exception()) is not None:
            # `_run` catches what a reply can raise; this is a defect in `_run` itself, and must not be silent.
            recorder.record(
                exc if isinstance(exc, Exception) else RuntimeError(repr(exc)), RouteContext(Stage.REPLY)
            ).settle(None, deliveries=0)

    @property
    def busy_sessions(self) -> set[str]:
        """The sessions of replies that run here, or have ended and are not told yet."""
        return set(self._busy.values())

    async def wait_for_one(self) -> None:
        """Wait until one of the replies that run here has ended."""
        if self._busy:
            await asyncio.wait(self._busy, return_when=asyncio.FIRST_COMPLETED)
            await asyncio.sleep(0)  # so that it is known to have ended

    async def aclose(self, grace_s: float) -> None:
        """Interrupt what still runs: its text is kept, and everybody is told REPLY_INTERRUPTED.

        While the database hangs people are told all the same, within the grace.
        """
        self._is_closing = True
        self._end_patience_s = min(self._end_patience_s, grace_s * 0.7)
        for stream in list(self._running.values()):
            stream.interrupt()
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=grace_s)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)


def _note_unstored(future: asyncio.Future[Any]) -> None:
    if not future.cancelled() and (exc := future.exception()) is not None:
        log.warning("chat.reply_end_not_stored", cause=str(exc))
