"""How far one reply that is being written has come on one connection; a part of `progress`."""

from __future__ import annotations

from collections.abc import Callable

from chat.encoded import Encoded

Put = Callable[[Encoded], bool]  # into the outbox; False where there is no room

MAX_HELD = 64  # frames beyond a gap; shared with everybody else who gets them
MAX_HELD_CHARS = 65_536  # of them; a connection that never reads must cost next to nothing


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
