"""Messages of one session that came before their turn on one connection; a part of `progress`.

A few are kept. The database has the others.
"""

from __future__ import annotations

from chat.encoded import Encoded

MAX_HELD = 64  # frames beyond a gap; shared with everybody else who gets them
MAX_HELD_CHARS = 65_536  # of them; a connection that never reads must cost next to nothing


class Held:
    """By `seq`. Some need no frame: the client's own messages, which were shown by their `ack`."""

    __slots__ = ("_chars", "_frames")

    def __init__(self) -> None:
        self._frames: dict[int, Encoded | None] = {}  # None: shown already
        self._chars = 0

    def __len__(self) -> int:
        return len(self._frames)

    def __contains__(self, seq: int) -> bool:
        return seq in self._frames

    def __getitem__(self, seq: int) -> Encoded | None:
        return self._frames[seq]

    def is_shown(self, seq: int) -> bool:
        return self._frames.get(seq, False) is None

    def note_shown(self, seq: int) -> None:
        self.drop(seq)
        self._frames[seq] = None

    def hold(self, seq: int, frame: Encoded) -> None:
        """Keep it, if there is room."""
        size = len(frame.text)
        if seq not in self._frames and len(self._frames) < MAX_HELD and self._chars + size <= MAX_HELD_CHARS:
            self._frames[seq] = frame
            self._chars += size

    def drop(self, seq: int) -> None:
        frame = self._frames.pop(seq, None)
        if frame is not None:
            self._chars -= len(frame.text)

    def drop_until(self, last_seq: int) -> None:
        """Drop what the client has."""
        for seq in [seq for seq in self._frames if seq <= last_seq]:
            self.drop(seq)

    def drop_beyond(self, top: int) -> None:
        """Drop what does not exist."""
        for seq in [seq for seq in self._frames if seq > top]:
            self.drop(seq)

    def forget_shown(self) -> None:
        """The client does not count on what its acknowledgements showed."""
        for seq in [seq for seq, frame in self._frames.items() if frame is None]:
            del self._frames[seq]
