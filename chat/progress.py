"""What one connection has been sent of one session, and in which order the rest may follow. No socket, no database.

A session's frames are a row of numbered messages and, between them, the pieces of replies that are being written. A
frame goes out when everything before it has; one that comes after a gap is held, or forgotten where there are many,
because the database has what is missing. `repair` reads it from there.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from time import monotonic, time

from chat import conf
from chat.encoded import Encoded
from chat.held import Held
from chat.reply_progress import Put, PutWhole, ReplyProgress

_MORE_REPLIES = 29  # that are kept than may run at once: some are behind, or have just ended


class Progress:
    """Of one session on one connection.

    Args:
        position: The `seq` up to which the client has everything, or knows how to get it; None where nobody knows.

    Attributes:
        top: The highest `seq` that is known to exist.
        since: When it began, in seconds of the epoch.
    """

    __slots__ = ("_base", "_held", "_turn_until", "ended", "position", "replies", "since", "top")

    def __init__(self, position: int | None = None) -> None:
        self.position = position
        self.top = position or 0
        self.since = time()
        self.replies: dict[str, ReplyProgress] = {}
        self.ended: dict[str, None] = {}  # replies whose end was told
        self._base = position or 0  # up to here it was not we who sent it
        self._held = Held()
        self._turn_until = 0.0

    # --- What is missing ---

    @property
    def is_behind(self) -> bool:
        if self.position != self.top and self.is_behind_rows:
            return True
        return bool(self.replies) and any(reply.is_behind for reply in self.replies.values())

    @property
    def is_behind_rows(self) -> bool:
        return self.position is not None and self.top > self.position

    @property
    def needs_rows(self) -> bool:
        """Whether the next message is missing, and it is not the client's turn to ask for it."""
        return self.is_behind_rows and not self.is_resuming and self.next_seq not in self._held

    @property
    def next_seq(self) -> int:
        return (self.position or 0) + 1

    @property
    def behind_replies(self) -> list[str]:
        return [reply_id for reply_id, reply in self.replies.items() if reply.is_behind]

    @property
    def is_resuming(self) -> bool:
        return monotonic() < self._turn_until

    # --- Live frames ---

    def take(self, frame: Encoded, put: Put) -> bool:
        """Send a frame, or hold it until what comes before it has gone out.

        Returns:
            False where it was dropped because the outbox is full. It is repaired all the same.
        """
        if self.position == self.top and not self._turn_until:  # nothing is missing, as nearly always
            if frame.reply_id is None:
                if frame.seq is None:
                    return put(frame)
                if frame.seq == self.top + 1:
                    return self._take_next(frame, frame.seq, put)
            elif (reply := self.replies.get(frame.reply_id)) is not None and reply.is_next(frame) and put(frame):
                reply.sent = frame.stop or 0
                return True
        if frame.reply_id in self.ended and (frame.seq is None or frame.seq <= (self.position or 0)):
            return True
        if frame.seq is not None:
            return self._take_row(frame, frame.seq, put)
        if frame.reply_id is not None:
            return self._take_piece(frame, frame.reply_id, put)
        return put(frame)

    def note_own(self, seq: int) -> None:
        """The client's own message was acknowledged under this number."""
        if self.position is None:
            self.position = self._base = seq
        elif seq > self.position:
            self._held.note_shown(seq)
        self.top = max(self.top, seq)

    def note_top(self, top: int) -> None:
        """The database has messages up to here."""
        self.top = max(self.top, top)

    def note_end(self, reply_id: str, created_at: float) -> None:
        """The database has a reply, begun at this time, that ended without text."""
        if reply_id in self.replies or (created_at > self.since and reply_id not in self.ended):
            self.replies.setdefault(reply_id, ReplyProgress()).is_behind = True

    def _take_next(self, frame: Encoded, seq: int, put: Put) -> bool:
        self.top = seq
        if put(frame):
            self.position = seq
            return True
        self._held.hold(seq, frame)
        return False

    def _take_row(self, frame: Encoded, seq: int, put: Put) -> bool:
        if self.position is None:
            self.position = self._base = seq - 1
        if seq <= self.position:
            return seq > self._base or put(frame)
        self.top = max(self.top, seq)
        if not self._is_whole(frame):
            return True  # the database has it with its whole text
        is_next = seq == self.next_seq and not self.is_resuming
        if is_next and put(frame):
            self._advance(seq, frame)
            self.flush(put)
            return True
        self._held.hold(seq, frame)
        return not is_next

    def _is_whole(self, frame: Encoded) -> bool:
        """Whether the client has the text that this end of a reply presupposes."""
        if frame.start is None or frame.reply_id is None:
            return True
        reply = self.replies.get(frame.reply_id)
        sent = reply.sent if reply else 0
        # An error may keep less than was seen: what a process that died had not stored is gone.
        return frame.start <= sent if frame.kind == "error" else frame.start == sent

    def _take_piece(self, frame: Encoded, reply_id: str, put: Put) -> bool:
        reply = self.replies.get(reply_id)
        if reply is None:
            reply = self.replies[reply_id] = ReplyProgress()
            if len(self.replies) > _max_replies():
                del self.replies[next(iter(self.replies))]
        must_wait = reply.is_behind or self.is_behind_rows or self.is_resuming
        if not frame.is_end:
            return reply.take_live(frame, put, must_wait=must_wait)
        if not must_wait and put(frame):
            self.end(reply_id)
            return True
        reply.is_behind = reply.has_ended = True
        return must_wait

    # --- Repair ---

    def flush(self, put: Put) -> None:
        """Send what was held and has its turn now."""
        while not self.is_resuming and (seq := self.next_seq) in self._held:
            frame = self._held[seq]
            if frame is not None:
                if not self._is_whole(frame):
                    self._held.drop(seq)
                    return
                if not put(frame):
                    return
            self._advance(seq, frame)

    def take_stored(self, seq: int, frames: Sequence[Encoded], put: PutWhole) -> bool:
        """Send a message as the database has it. False where there is no room."""
        if seq <= (self.position or 0):
            return True
        if not self._held.is_shown(seq) and not put(frames):
            return False
        self._advance(seq, frames[-1])
        return True

    def settle(self, top: int) -> None:
        """The database has no message above `top`: what was announced beyond it does not exist."""
        self.top = max(top, self.position or 0)
        self._held.drop_beyond(self.top)

    def _advance(self, seq: int, frame: Encoded | None) -> None:
        self.position = seq
        self.top = max(self.top, seq)
        self._held.drop_until(seq)
        if frame is not None and frame.is_end and frame.reply_id is not None:
            self.end(frame.reply_id)

    def expect(self, reply_id: str) -> None:
        """Everything of this reply is to be sent (again), from its beginning."""
        reply = self.replies.setdefault(reply_id, ReplyProgress())
        reply.sent, reply.is_behind = 0, True

    def take_text(self, reply_id: str, frames: Sequence[Encoded], put: Put, put_whole: PutWhole) -> bool:
        """Send what is missing of a reply, in pieces or as its `loading`, then what was held of it.

        Returns:
            False where there is no room, or still a gap.
        """
        return self.replies[reply_id].catch_up(frames, put, put_whole)

    def end(self, reply_id: str) -> None:
        """The end of this reply was told."""
        self.replies.pop(reply_id, None)
        self.ended[reply_id] = None
        if len(self.ended) > _max_replies():
            del self.ended[next(iter(self.ended))]

    # --- Resume ---

    def resume(self, last_seq: int) -> None:
        """The client has everything up to here. Until the page is sent, everything else waits."""
        self.position = self._base = last_seq
        self.since = time()
        self._held.forget_shown()
        self._held.drop_until(last_seq)
        self._turn_until = inf

    def abandon_resume(self, position: int | None) -> None:
        """Nothing was sent, and it is too much to be sent unasked: on from `position`, as if nobody had asked."""
        self.position, self._base = position, position or 0
        self._held.drop_until(self._base)

    def end_resume(self, turn_s: float = 0.0) -> None:
        """The page is sent. For `turn_s` it is the client's turn to ask for the next one."""
        self._turn_until = monotonic() + turn_s if turn_s else 0.0


def _max_replies() -> int:
    """One that is forgotten while it runs would be sent again from its beginning, and push out the next one."""
    return conf.chat().max_running_replies + _MORE_REPLIES
