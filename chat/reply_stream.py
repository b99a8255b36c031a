"""One reply while it is being written: what the provider says becomes chunks, and checkpoints in the database."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress

from chat import conf, frames, groups, history
from chat.database import DatabaseThreads
from chat.entries import Figures
from chat.hub import Hub
from chat.journal import Journal
from chat.llm import window
from chat.llm.base import Deadlines, ReplyRequest, Turn, Usage
from chat.llm.choice import Choice
from chat.models import ReplyPhase
from chat.reply_reader import CLOSE_S, Pieces, ReplyReader, ReplyTooLong, limit_error
from errors.context import RouteContext
from errors.exceptions import ChatError
from errors.loggers import get_logger
from errors.taxonomy import LLM_UNAVAILABLE, REPLY_INTERRUPTED, Outcome

log = get_logger("chat.replies")

_CLOSE_GOING_DOWN_S = 0.3  # seconds that a provider gets to end when the server does: what there is has to be stored


class ReplyStream:
    """The text of one running reply, and its way to the session's connections.

    Args:
        continues: The reply from whose text this one goes on.
        adopt: Gets the task of a provider that does not end, and keeps it for as long as that takes.

    Attributes:
        text: All of it so far, as of the last chunk.
        is_lost: Another process has ended this reply; nothing more may be told.
    """

    def __init__(
        self,
        reply_id: str,
        session_id: str,
        in_reply_to: str,
        *,
        continues: str | None,
        hub: Hub,
        journal: Journal,
        threads: DatabaseThreads,
        adopt: Callable[[asyncio.Task[None]], None],
    ) -> None:
        self.reply_id = reply_id
        self.session_id = session_id
        self.in_reply_to = in_reply_to
        self.continues = continues
        self.text = ""
        self.figures = Figures()
        self._began = time.monotonic()
        self.is_lost = False
        self.is_open = True  # no terminal frame was made yet
        self._hub = hub
        self._journal = journal
        self._threads = threads
        self._adopt = adopt
        self._fresh: list[str] = []  # pieces that are not in `text` yet
        self._length = 0  # characters, those pieces included
        self._sent = 0  # characters that were broadcast
        self._kept = 0  # characters of the last checkpoint
        self._flush_timer: asyncio.TimerHandle | None = None
        self._checkpoint_due = asyncio.Event()
        self._renewed_at = self._began  # when the lease was last renewed, monotonic seconds
        self._reader: ReplyReader | None = None
        self._said: tuple[str, ...] = ()  # what the conversation holds, the newest first
        self._prompt_tokens = 0  # about
        self._is_stopped = False
        self._is_interrupted = False

    def stop(self) -> None:
        """The person has read enough."""
        self._is_stopped = True
        self._cut()

    def look_for_stop(self) -> None:
        """Do not wait for the next checkpoint, which tells whether another device wants to stop."""
        self._checkpoint_due.set()

    def interrupt(self) -> None:
        """The server is going down."""
        self._is_interrupted = True
        self._cut(_CLOSE_GOING_DOWN_S)

    def lose(self) -> None:
        """Another process has taken over."""
        self.is_lost = True
        self._cut()

    def _cut(self, close_s: float = CLOSE_S) -> None:
        if self._reader is not None:
            self._reader.cut(close_s=close_s)

    async def run(self, backend: Choice, context: RouteContext) -> str:
        """Read the provider to the end and return the state: complete, or stopped.

        Raises:
            ChatError: LLM_TIMEOUT, REPLY_INTERRUPTED, or what the provider raised.
        """
        self._reader = ReplyReader(lambda: self._ask(backend, context), self._take, self._abandon)
        if self._is_stopped or self._is_interrupted:
            self._cut()
        try:
            await self._reader.end()
        finally:
            self._flush()
            self.figures.total_ms = self._elapsed_ms()
            self._count_tokens(self._reader)
            self.is_open = False
            context.private_texts = (self.text, *self._said)  # a long history is looked for up to a bound
            context.outcome = Outcome.PARTIAL if self.text else Outcome.SAVED
        if self._is_interrupted and not self._is_stopped and not self._reader.is_whole:
            raise ChatError(REPLY_INTERRUPTED, detail="the server is going down")
        if not self.text and not self._is_stopped and not self.is_lost:
            raise ChatError(LLM_UNAVAILABLE, detail="the provider's answer was empty")
        return ReplyPhase.STOPPED if self._is_stopped else ReplyPhase.COMPLETE

    async def _ask(self, backend: Choice, context: RouteContext) -> tuple[Pieces, Deadlines]:
        request = await self._threads.run(self._request, backend, conf.chat().history_messages)
        context.attempt = request.attempt
        self.figures.model_id = request.model_id if backend.has(request.model_id) else backend.models[0].id
        self._said = tuple(turn.content for turn in reversed(request.turns))
        self._prompt_tokens = window.prompt_tokens(request, backend.context_tokens(request.model_id))
        await backend.warm_up_for(request.model_id)
        self._began = time.monotonic()  # what is loaded with the first reply is not this reply's time
        return backend.stream(request), backend.deadlines(request.model_id)

    def _count_tokens(self, reader: ReplyReader) -> None:
        """Providers count at the end. What they were not let finish, or never count, is estimated: it was not free.

        Without a word it counts only where the person stopped it: a provider that hangs is nobody's allowance.
        """
        if self.figures.usage is None and (self.text or (self._is_stopped and reader.has_asked)):
            self.figures.usage = Usage(self._prompt_tokens, window.estimate(self.text) if self.text else 0)

    def _abandon(self, task: asyncio.Task[None]) -> None:
        log.warning("chat.provider_abandoned", reply_id=self.reply_id)
        self._adopt(task)

    def _request(self, backend: Choice, limit: int) -> ReplyRequest:
        reply, said = history.conversation(self.reply_id, limit)
        return ReplyRequest(
            model_id=backend.answering(reply.model_id),
            turns=tuple(Turn(sender, content) for sender, content in said),
            attempt=reply.attempt,
            partial_text=history.text_before(reply),
        )

    # --- Chunks ---

    def _take(self, piece: str | Usage) -> None:
        if isinstance(piece, Usage):
            self.figures.usage = piece
            return
        text, settings = _storable(piece), conf.chat()
        if self.figures.first_token_ms is None and text:
            self.figures.first_token_ms = self._elapsed_ms()
        self._fresh.append(text)
        self._length += len(text)
        if self._flush_timer is None:
            delay_s = settings.chunk_ms / 1000 if self._sent else 0  # the first words at once
            self._flush_timer = asyncio.get_running_loop().call_later(delay_s, self._flush)
        if self._length > settings.max_reply_chars and self._reader is not None:
            self._reader.cut(
                limit_error(REPLY_INTERRUPTED, ReplyTooLong(f"over {settings.max_reply_chars} characters"))
            )

    def _elapsed_ms(self) -> int:
        return int((time.monotonic() - self._began) * 1000)

    def _gather(self) -> None:
        self.text = (self.text + "".join(self._fresh))[: conf.chat().max_reply_chars]
        self._fresh.clear()
        if len(self.text) - self._kept >= conf.chat().checkpoint_chars:
            self._checkpoint_due.set()

    def _flush(self) -> None:
        if self._flush_timer is not None:
            self._flush_timer.cancel()
            self._flush_timer = None
        self._gather()
        if self._sent < len(self.text) and not self.is_lost:
            for chunk in frames.so_far(self.session_id, self, self.text, self._sent):
                self._hub.broadcast(groups.of_session(self.session_id), chunk)
            self._sent = len(self.text)

    # --- Checkpoints ---

    async def keep_checkpoints(self) -> None:
        """Store the text so far every second or so, renew the lease, and look whether another device wants to stop."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(conf.chat().checkpoint_s):
                    await self._checkpoint_due.wait()
            self._checkpoint_due.clear()
            text = self.text
            try:
                wants_stop = await self._journal.checkpoint(self.reply_id, text)
            except Exception as exc:
                cause = str(exc) if isinstance(exc, ChatError) else type(exc).__name__
                log.warning("chat.checkpoint_failed", reply_id=self.reply_id, cause=cause)
                await asyncio.sleep(conf.chat().checkpoint_s)  # a sick database is not helped by asking more often
                continue
            self._kept = len(text)
            self._renewed_at = time.monotonic()
            if wants_stop is None and self.is_open:
                self.lose()
            elif wants_stop:
                self.stop()

    async def is_taken_over(self) -> bool:
        """Whether another process has ended this reply, and told everybody; asked before its failure is recorded.

        A process that stood still wakes to time limits that are over, of replies that are no longer its own.
        """
        if self.is_lost or time.monotonic() - self._renewed_at < conf.chat().lease_s:
            return self.is_lost
        try:
            return await self._journal.checkpoint(self.reply_id, self.text) is None
        except Exception as exc:
            log.warning("chat.checkpoint_failed", reply_id=self.reply_id, cause=type(exc).__name__)
            return False


def _storable(piece: str) -> str:
    """What every database and every client can hold: no NUL, no lone surrogates."""
    return piece.replace("\x00", "").encode("utf-8", "replace").decode("utf-8")
