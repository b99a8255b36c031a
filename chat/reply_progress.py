"""How far one reply that is being written has come on one connection; a part of `progress`."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from chat.encoded import Encoded
from chat.held import MAX_HELD, MAX_HELD_CHARS

Put = Callable[[Encoded], bool]  # into the outbox; False where there is no room
PutWhole = Callable[[Sequence[Encoded]], bool]


class ReplyProgress:
    """How far one reply that is being written has come here.

    Attributes:
        sent: Characters that went out.
        is_behind: Something of it is missing; its pieces are held until that is repaired.
        has_ended: Its end came while it was behind; what is read before that is not the last of it.
    """

    __slots__ = ("has_ended", "held", "is_behind", "sent")

    def __init__(self) -> None:
        self.sent = 0
        self.is_behind = False
        self.has_ended = False
        self.held: list[Encoded] = []

    def hold(self, piece: Encoded) -> None:
        self.is_behind = True
        if len(self.held) < MAX_HELD and sum(len(each.text) for each in self.held) < MAX_HELD_CHARS:
            self.held.append(piece)

    def is_next(self, frame: Encoded) -> bool:
        """Whether this is the piece that follows."""
        return frame.start == self.sent and not self.is_behind and not frame.is_end

    def take(self, piece: Encoded, put: Put) -> bool:
        """Send a piece that belongs here; one that was sent already is skipped. False: there is no room, or a gap."""
        start, stop = piece.start or 0, piece.stop or 0
        if stop > self.sent or start == stop:
            if start > self.sent or not put(piece):
                return False
            self.sent = stop
        return True

    def take_live(self, frame: Encoded, put: Put, *, must_wait: bool) -> bool:
        """Send `loading` or a piece, or hold the piece until what comes before it has gone out.

        Returns:
            False where it was dropped because the outbox is full.
        """
        is_piece = frame.start is not None
        if must_wait:
            if is_piece:
                self.hold(frame)
            self.is_behind = True
            return True
        if is_piece and (frame.start or 0) > self.sent:
            self.hold(frame)
            return True
        is_taken = self.take(frame, put) if is_piece else put(frame)
        if not is_taken:
            self.is_behind = True
            if is_piece:
                self.hold(frame)
        return is_taken

    def catch_up(self, frames: Sequence[Encoded], put: Put, put_whole: PutWhole) -> bool:
        """Send what was missing, then what was held. False: there is no room, or still a gap."""
        if frames:
            if not put_whole(frames):
                return False
            self.sent = frames[-1].stop or self.sent
        for index, piece in enumerate(self.held):
            if not self.take(piece, put):
                self.held = self.held[index:]
                return False
        self.held, self.is_behind = [], self.has_ended
        return True
