"""Replies run here, outside any connection: a closed tab does not end one, and it ends exactly once for everybody.

    pending > loading > ai_response chunks > one terminal frame: an `ai_response` with a state, or an `error`

Handlers call `start` and `stop`. `runtime` owns the one instance per event loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import msgspec
import structlog

from chat import conf, groups, leases, protocol, telemetry
from chat.database import DatabaseThreads
from chat.hub import Hub
from chat.journal import Ended, Figures, Journal
from chat.llm.base import Backend
from chat.models import ReplyPhase
from chat.reply_stream import ReplyStream
from errors import recorder
from errors.context import RouteContext
from errors.exceptions import ChatError
from errors.failure import ErrorPayload, Failure
from errors.middleware import ErrorMiddleware
from errors.taxonomy import REPLY_INTERRUPTED, Action, Outcome, Stage

log = structlog.stdlib.get_logger("chat.replies")

_END_RETRIES_S = (0.2, 1.0, 3.0)  # seconds between tries to store how a reply ended


class Replies:
    def __init__(self, *, hub: Hub, journal: Journal, threads: DatabaseThreads, backend: Backend) -> None:
        self._hub = hub
        self._journal = journal
        self._threads = threads
        self._backend = backend
        self._running: dict[str, ReplyStream] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._answer = ErrorMiddleware(self._stream_and_store)

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
            reply_id, session_id, in_reply_to, hub=self._hub, threads=self._threads, is_continued=is_continued
        )
        self._running[reply_id] = stream
        telemetry.REPLIES_RUNNING.inc()
        self._spawn(self._run(stream, context))

    async def stop(self, reply_id: str) -> None:
        """Ask the reply to stop, wherever it runs; one that has ended stays as it is."""
        stream = self._running.get(reply_id)
        if stream is not None:
            stream.stop()
        else:
            await self._threads.run(leases.request_stop, reply_id)

    def frames_so_far(self, session_id: str) -> list[protocol.Frame]:
        """Return what a connection that joins now must see of the replies running here."""
        frames: list[protocol.Frame] = []
        for stream in self._running.values():
            if stream.session_id == session_id and stream.is_open:
                frames += stream.frames_so_far()
        return frames

    def is_local(self, reply_id: str) -> bool:
        return reply_id in self._running

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
        state = await stream.run(self._backend, context)
        if stream.is_lost:
            return  # another process has ended it, and told everybody
        ended = await self._store_end(stream.reply_id, state=state, text=stream.text, figures=stream.figures)
        if ended is not None:
            self._hub.broadcast(groups.of_session(stream.session_id), stream.terminal_frame(ended))

    async def _end_failed(self, stream: ReplyStream, failure: Failure) -> None:
        """Store how it failed, then tell every connection once. The text that had arrived is kept."""
        payload = failure.payload(self.accepted_actions())
        state = ReplyPhase.PARTIAL if stream.text else ReplyPhase.FAILED
        ended: Ended | None = None
        try:
            ended = await self._store_end(
                stream.reply_id, state=state, text=stream.text, error=payload, figures=stream.figures
            )
        except ChatError as exc:
            # People are told all the same. The row stays "running" until the reaper ends it.
            log.warning("chat.reply_end_not_stored", reply_id=stream.reply_id, cause=str(exc))
        else:
            if ended is None:
                failure.settle(None, deliveries=0)
                return
        self._tell(failure, payload, stream.session_id, stream.reply_id, stream.in_reply_to, ended, len(stream.text))

    def _tell(
        self,
        failure: Failure,
        payload: ErrorPayload,
        session_id: str,
        reply_id: str,
        in_reply_to: str,
        ended: Ended | None,
        content_length: int,
    ) -> None:
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
        delivery = self._hub.broadcast(groups.of_session(session_id), frame)
        failure.settle(protocol.encode(frame), deliveries=delivery.deliveries, drops=delivery.drops)

    async def _store_end(
        self,
        reply_id: str,
        *,
        state: str,
        text: str,
        error: ErrorPayload | None = None,
        figures: Figures | None = None,
    ) -> Ended | None:
        """Store the end, trying again while the database is away.

        Raises:
            ChatError: DATABASE_ERROR after the last try.
        """
        public = msgspec.to_builtins(error) if error else None
        for pause_s in (*_END_RETRIES_S, None):
            try:
                return await self._journal.end_reply(reply_id, state=state, text=text, error=public, figures=figures)
            except ChatError:
                if pause_s is None:
                    raise
            await asyncio.sleep(pause_s)
        raise AssertionError("unreachable")

    def accepted_actions(self) -> tuple[Action, ...]:
        """What the server would take now: another model can only be offered where there is one."""
        has_choice = len(self._backend.models) > 1
        return tuple(action for action in Action if action is not Action.SWITCH_MODEL or has_choice)

    # --- Replies whose process died ---

    async def reap(self) -> None:
        """End replies whose lease is over: partial where a checkpoint was stored, and told to who is there."""
        while True:
            await asyncio.sleep(conf.chat().lease_s / 3)
            try:
                for reply in await self._threads.run(leases.claim_expired):
                    if str(reply.pk) not in self._running:
                        await self._end_orphan(reply)
            except Exception as exc:
                log.warning("chat.reaper_failed", cause=type(exc).__name__)

    async def _end_orphan(self, reply: Any) -> None:
        context = RouteContext(
            stage=Stage.REPLY,
            message_type="user_message",
            user_id=reply.owner_key,
            session_id=str(reply.session_id),
            ref=reply.message.client_ref,
            reply_id=str(reply.pk),
            in_reply_to=str(reply.message_id),
            outcome=Outcome.PARTIAL if reply.text else Outcome.SAVED,
            attempt=reply.attempt,
        )
        failure = recorder.record(ChatError(REPLY_INTERRUPTED, detail="its server process is gone"), context)
        payload = failure.payload(self.accepted_actions())
        state = ReplyPhase.PARTIAL if reply.text else ReplyPhase.FAILED
        ended = await self._store_end(str(reply.pk), state=state, text=reply.text, error=payload)
        if ended is None:
            failure.settle(None, deliveries=0)
            return
        self._tell(
            failure, payload, str(reply.session_id), str(reply.pk), str(reply.message_id), ended, len(reply.text)
        )

    # --- Tasks ---

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._forget)

    def _forget(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (exc := task.exception()) is not None:
            # `_run` catches what a reply can raise; this is a defect in `_run` itself, and must not be silent.
            recorder.record(
                exc if isinstance(exc, Exception) else RuntimeError(repr(exc)), RouteContext(Stage.REPLY)
            ).settle(None, deliveries=0)

    async def aclose(self, grace_s: float) -> None:
        """Interrupt what still runs: its text is kept, and everybody is told REPLY_INTERRUPTED."""
        for stream in list(self._running.values()):
            stream.interrupt()
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=grace_s)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
