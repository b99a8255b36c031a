"""Replies run here, outside any connection: a closed tab does not end one, and it ends exactly once for everybody.

    pending > loading > ai_response chunks > one terminal frame: an `ai_response` with a state, or an `error`

Handlers call `start` and `stop`. `runtime` owns the one instance per event loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import msgspec

from chat import frames, groups, telemetry
from chat.abandoned import Abandoned
from chat.database import DatabaseThreads
from chat.hub import STOP, Hub
from chat.jobs import Append, Job, Retry
from chat.journal import Journal
from chat.llm.choice import Choice
from chat.models import ReplyPhase
from chat.reaper import Reaper
from chat.reply_ends import ReplyEnds
from chat.reply_jobs import EndReply
from chat.reply_stream import ReplyStream
from errors import recorder
from errors.context import RouteContext
from errors.failure import ErrorPayload, Failure
from errors.loggers import get_logger
from errors.middleware import ErrorMiddleware
from errors.taxonomy import Action, Outcome, Stage

log = get_logger("chat.replies")

_ACTIONS = tuple(Action)
_ACTIONS_WITHOUT_CHOICE = tuple(action for action in Action if action is not Action.SWITCH_MODEL)


class Replies:
    def __init__(self, *, hub: Hub, journal: Journal, threads: DatabaseThreads, backend: Choice) -> None:
        self._hub = hub
        self._journal = journal
        self._threads = threads
        self._backend = backend
        self._running: dict[str, ReplyStream] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._abandoned = Abandoned()
        self._busy: dict[asyncio.Task[None], str] = {}  # of each running reply's task: its session
        self._answer = ErrorMiddleware(self._stream_and_store)
        self._is_closing = False  # what runs is interrupted, and what begins with it
        self._is_closed = False  # nothing begins
        self._ends = ReplyEnds(hub, journal)
        reaper = Reaper(
            journal,
            self._ends,
            running=lambda: frozenset(self._running),
            accepted_actions=self.accepted_actions,
            spawn=self._spawn,
            is_closed=lambda: self._is_closed,
        )
        self.reap = reaper.reap

    # --- What handlers call ---

    def start(
        self, reply_id: str, *, session_id: str, in_reply_to: str, route: RouteContext, continues: str | None = None
    ) -> None:
        """Begin to answer. Returns at once; the reply belongs to this process until it ends or its lease does.

        Args:
            continues: The reply from whose text this one goes on.
        """
        if self._is_closed:
            # Nobody here would see to its end any more: it stays pending until another process, or the next one, finds
            # its lease over, and that one alone records and tells that it was interrupted.
            return
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
            continues=continues,
            adopt=self._abandoned.adopt,
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

    def look_for_stops(self) -> None:
        """Another process may have told us to stop one, unheard: look into the database now."""
        for stream in self._running.values():
            stream.look_for_stop()

    def stream(self, reply_id: str) -> ReplyStream | None:
        """Return the reply if it is being written here; of one whose text has ended the database knows."""
        stream = self._running.get(reply_id)
        return stream if stream is not None and stream.is_open else None

    # --- The life of one reply ---

    async def _run(self, stream: ReplyStream, context: RouteContext) -> None:
        self._hub.broadcast(groups.of_session(stream.session_id), frames.loading(stream.session_id, stream))
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
        await self._ends.finish(
            self._end(stream, state),
            session_id=stream.session_id,
            in_reply_to=stream.in_reply_to,
            continues=stream.continues,
        )

    def _end(self, stream: ReplyStream, state: str, error: ErrorPayload | None = None) -> EndReply:
        return self._journal.end_reply(
            stream.session_id,
            stream.reply_id,
            state=state,
            text=stream.text,
            error=msgspec.to_builtins(error) if error else None,
            figures=stream.figures,
        )

    async def _end_failed(self, stream: ReplyStream, failure: Failure) -> None:
        """Store how it failed, then tell every connection once. The text that had arrived is kept."""
        payload = failure.payload(self.accepted_actions())
        job = self._end(stream, ReplyPhase.PARTIAL if stream.text else ReplyPhase.FAILED, payload)
        await self._ends.tell(
            failure,
            payload,
            job,
            session_id=stream.session_id,
            in_reply_to=stream.in_reply_to,
            continues=stream.continues,
        )

    def accepted_actions(self) -> tuple[Action, ...]:
        """What the server would take now: another model can only be offered where there is one."""
        return _ACTIONS if len(self._backend.models) > 1 else _ACTIONS_WITHOUT_CHOICE

    # --- Replies that nobody runs ---

    def on_late(self, job: Job, result: Any) -> None:
        """Take care of what the journal stored after its caller was told `unknown`, or had gone.

        The message is shown to whoever is there, and its answer begins: sent again, it is a duplicate with a reply.
        """
        continues: str | None = None
        if isinstance(job, Append) and not result.duplicate:
            draft, message_type = job.draft, "user_message"
            self._hub.broadcast(groups.of_session(result.session_id), frames.user_message(result, draft))
            user_id, ref = draft.user_id, draft.ref
            if result.new_title:
                self._hub.broadcast(groups.of_user(user_id), frames.titled(result.session_id, result.new_title))
        elif isinstance(job, Retry) and result.is_new:
            user_id, ref, message_type, continues = job.user_id, None, "retry", result.continues
        else:
            return
        if result.reply_id is not None:
            route = RouteContext(Stage.REPLY, message_type=message_type, user_id=user_id, ref=ref)
            self.start(
                result.reply_id,
                session_id=result.session_id,
                in_reply_to=result.message_id,
                route=route,
                continues=continues,
            )

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

        While the database hangs people are told all the same, within the grace. What would begin after that is left to
        another process.
        """
        until = asyncio.get_running_loop().time() + grace_s
        self._is_closing = True
        self._ends.patience_s = min(self._ends.patience_s, grace_s * 0.7)
        for stream in list(self._running.values()):
            stream.interrupt()
        left_s = grace_s
        while self._tasks and left_s >= 0:
            await asyncio.wait(self._tasks, timeout=left_s)  # those that begin meanwhile come with the next turn
            left_s = until - asyncio.get_running_loop().time()
        self._is_closed = True
        late = tuple(self._tasks)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)
        await self._abandoned.aclose()
