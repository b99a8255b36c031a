"""Repair: connections that missed frames get them from the database, in order, as fast as they read.

A connection is behind when its outbox was full, when the channel layer lost a frame, or when a heartbeat shows messages
that it was not sent. All connections that are behind in one session share a read. Typing indicators, notifications,
heartbeats and pongs are not repaired: they belong to a moment that has passed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

from chat import conf, frames, missed, protocol
from chat.database import DatabaseThreads
from chat.encoded import Encoded
from chat.missed import Missed, MissedReply
from chat.outbox import Outbox
from chat.progress import Progress
from chat.replies import Replies
from errors.loggers import get_logger

log = get_logger("chat.repair")

_REORDER_S = 0.05  # seconds in which a frame that is only late may still come by itself
_AGAIN_S = 0.5  # seconds until the database is asked again for what it did not have yet

Row = tuple[int, list[Encoded]]


class Patient(Protocol):
    """A connection, as repair sees it."""

    outbox: Outbox

    def progress(self, session_id: str) -> Progress | None: ...


class Repairs:
    """One per event loop; owned by `runtime`."""

    def __init__(
        self, threads: DatabaseThreads, replies: Replies, spawn: Callable[[Coroutine[Any, Any, None]], object]
    ) -> None:
        self._threads = threads
        self._replies = replies
        self._spawn = spawn
        self._waiting: dict[str, set[Patient]] = {}  # by session; each has a task

    def look_at(self, patient: Patient, session_id: str) -> None:
        """This connection is behind in this session. Never waits."""
        patients = self._waiting.get(session_id)
        if patients is not None:
            patients.add(patient)
            return
        self._waiting[session_id] = {patient}
        self._spawn(self._mend(session_id))

    def show_replies(self, patient: Patient, progress: Progress, found: Missed) -> None:
        """Send what a connection that has just resumed must see of replies that have no message, or not yet."""
        for reply_id, reply in found.replies.items():
            if reply.seq is None and reply_id not in progress.ended:
                progress.expect(reply_id)
                self._mend_reply(patient, progress, reply_id, found)

    async def _mend(self, session_id: str) -> None:
        try:
            await asyncio.sleep(_REORDER_S)
            while patients := self._in_need(session_id):
                if not await self._round(session_id, patients):
                    await asyncio.sleep(_AGAIN_S)
        finally:
            self._waiting.pop(session_id, None)

    def _in_need(self, session_id: str) -> list[tuple[Patient, Progress]]:
        """Return who is still behind and has room. Who has none calls again as soon as it has."""
        needy = []
        for patient in tuple(self._waiting[session_id]):
            progress = patient.progress(session_id)
            if progress is not None and progress.is_behind and not patient.outbox.is_closing:
                if patient.outbox.has_room:
                    needy.append((patient, progress))
                    continue
                patient.outbox.call_when_room()
            self._waiting[session_id].discard(patient)
        return needy

    async def _round(self, session_id: str, patients: list[tuple[Patient, Progress]]) -> bool:
        """Give each one what there is; return whether anybody got on."""
        for patient, progress in patients:
            progress.flush(patient.outbox.put)
        positions = [progress.position or 0 for _, progress in patients if progress.needs_rows]
        reply_ids = {
            reply_id
            for _, progress in patients
            for reply_id in progress.behind_replies
            if self._replies.stream(reply_id) is None
        }
        found: Missed | None = None
        rows: list[Row] = []
        if positions or reply_ids:
            settings = conf.chat()
            try:
                found = await self._threads.run(
                    missed.read,
                    session_id,
                    after=min(positions, default=None),
                    limit=settings.resume_page,
                    max_chars=settings.outbox_chars // 2,
                    reply_ids=reply_ids,
                )
            except Exception as exc:
                log.warning("chat.repair_failed", session_id=session_id, cause=type(exc).__name__)
                return False
            found = found or Missed(session_id, [], 0, {})  # the session is gone, and with it all that was missing
            rows = encoded_rows(found)
        after = min(positions, default=0)
        has_moved = False
        for patient, progress in patients:
            if patient.progress(session_id) is not progress or progress.is_resuming:
                continue
            before = _state(progress)
            if found is not None and (progress.position or 0) < after:
                progress.note_top(found.top)  # what was read begins beyond what it lacks: the next round is for it
                continue
            self._treat(patient, progress, found, rows, is_end=bool(found and (not rows or rows[-1][0] >= found.top)))
            has_moved |= before != _state(progress)
        return has_moved

    def _treat(
        self, patient: Patient, progress: Progress, found: Missed | None, rows: list[Row], *, is_end: bool
    ) -> None:
        outbox = patient.outbox
        send_rows(progress, rows, outbox)
        if found is not None and is_end and (progress.position or 0) >= found.top:
            progress.settle(found.top)
        progress.flush(outbox.put)
        if not progress.is_behind_rows:
            for reply_id in progress.behind_replies:
                self._mend_reply(patient, progress, reply_id, found)

    def _mend_reply(self, patient: Patient, progress: Progress, reply_id: str, found: Missed | None) -> None:
        stream, outbox = self._replies.stream(reply_id), patient.outbox
        if stream is not None:
            self._send_text(outbox, progress, stream.session_id, stream, stream.text)
            return
        if found is None:
            return  # it has ended since; the next round asks the database
        reply = found.replies.get(reply_id)
        if reply is None:
            progress.end(reply_id)
        elif reply.is_running:
            self._send_text(outbox, progress, found.session_id, reply.facts, reply.facts.text)
        elif reply.seq is not None and reply.seq > (progress.position or 0):
            progress.note_top(reply.seq)  # its message is the end
        elif reply.seq is not None or _send_end(outbox, found.session_id, reply):
            progress.end(reply_id)

    def _send_text(self, outbox: Outbox, progress: Progress, session_id: str, reply: frames.Running, text: str) -> None:
        sent = progress.replies[reply.reply_id].sent
        pieces: list[protocol.Frame] = list(frames.so_far(session_id, reply, text, sent))
        if not sent:
            pieces.insert(0, frames.loading(session_id, reply))
        progress.take_text(reply.reply_id, [Encoded.of(piece) for piece in pieces], outbox.put, outbox.put_whole)


def encoded_rows(found: Missed) -> list[Row]:
    """The messages of a page as the frames that show them, encoded once for all who need them."""
    return [(message.seq, [Encoded.of(frame) for frame in frames.replayed(message)]) for message in found.messages]


def send_rows(progress: Progress, rows: list[Row], outbox: Outbox) -> None:
    """Send stored messages in their order, as many as there is room for."""
    for seq, shown in rows:
        if not progress.take_stored(seq, shown, outbox.put_whole):
            return


def _send_end(outbox: Outbox, session_id: str, reply: MissedReply) -> bool:
    return outbox.put_whole([Encoded.of(frames.silent_end(session_id, reply.facts))])


def _state(progress: Progress) -> object:
    return progress.position, progress.top, [(key, each.sent, each.is_behind) for key, each in progress.replies.items()]
