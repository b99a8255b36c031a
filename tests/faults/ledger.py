"""What the clients of a soak did and saw: the log of events on disk, and the facts that the verdict compares."""

from __future__ import annotations

import json
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.faults.conversation import Frame

MAX_TEXT = 100  # characters of a message's text that the event log keeps


@dataclass(slots=True)
class Said:
    """One message of a person, from the first time it was sent."""

    ref: str
    person: str
    frame: Frame
    acks: set[tuple[str, int, str]] = field(default_factory=set)  # (session_id, seq, message_id) of every ack
    is_refused: bool = False  # told that it will not be stored, and given up
    may_be_stored: bool = False  # some sending of it has an unknown end

    @property
    def is_acked(self) -> bool:
        return bool(self.acks)


class Ledger:
    """Everything the clients know; shared by all of them, on one event loop."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = path.open("w", buffering=1 << 16)
        self.said: dict[str, Said] = {}
        self.told: dict[str, float] = {}  # reference -> when a client first saw it
        self.counts: Counter[str] = Counter()  # events by name
        self.last_ack_at = 0.0
        self.unread_answers: list[float] = []  # when an HTTP request broke off
        self.unread_connects: list[float] = []  # when a handshake failed, or a client left that had read nothing
        self.strikes: list[tuple[str, str]] = []  # (number of the verdict, what happened), noticed on the way

    def add(self, event: str, **facts: Any) -> None:
        """Append one event; `t` is the wall clock, in seconds."""
        self.counts[event] += 1
        line = {"t": round(time.time(), 4), "event": event} | facts
        self._file.write(json.dumps(line, ensure_ascii=False, default=str) + "\n")

    def strike(self, number: str, what: str, **facts: Any) -> None:
        """Note a violation that only the moment shows; `number` is one of the verdict's."""
        self.strikes.append((number, what))
        self.add("strike", number=number, what=what, **facts)

    def see_reference(self, error: Frame, client: str) -> None:
        """A client was shown an error's reference."""
        self.told.setdefault(error["reference"], time.time())

    def ack(self, frame: Frame, client: str) -> None:
        said = self.said[frame["ref"]]
        said.acks.add((frame["session_id"], frame["seq"], frame["message_id"]))
        self.last_ack_at = time.time()

    @property
    def acked(self) -> int:
        return sum(said.is_acked for said in self.said.values())

    def flush(self) -> None:
        self._file.flush()

    def close(self) -> None:
        self._file.close()


def shorten(frame: Frame) -> Frame:
    """A frame as the event log keeps it."""
    content = frame.get("content")
    if isinstance(content, str) and len(content) > MAX_TEXT:
        return frame | {"content": f"{content[:MAX_TEXT]}... ({len(content)} characters)"}
    return frame
