"""The reference client's view of one session: a pure reducer over the server's frames, as docs/protocol.md asks.

It sorts by `seq`, drops what it has, puts chunks at their offsets, ends each reply once, and knows what it lacks. The
soak compares it with the database; the property test with a fresh snapshot. It opens no socket.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

Frame = dict[str, Any]

RUNNING = ("pending", "streaming")


@dataclass(frozen=True, slots=True)
class Line:
    """One stored message."""

    seq: int
    message_id: str
    sender: str
    content: str
    client_ref: str | None = None


@dataclass(slots=True)
class Answer:
    """One reply. `state` is None until it has ended; `reference` is that of the error it ended in."""

    reply_id: str
    in_reply_to: str
    text: str = ""
    state: str | None = None
    reference: str | None = None
    has_gap: bool = False


@dataclass(slots=True)
class Conversation:
    """What one client knows of one session.

    Attributes:
        reached: Every line from 1 to here is known.
        top: The highest `seq` that the server has spoken of.
        conflicts: What no frame may say: another message under a known `seq`, another text at a known offset.
    """

    session_id: str
    lines: dict[int, Line] = field(default_factory=dict)
    answers: dict[str, Answer] = field(default_factory=dict)
    reached: int = 0
    top: int = 0
    conflicts: list[str] = field(default_factory=list)

    @property
    def is_missing(self) -> bool:
        """Whether something is known to be missing, so that `resume` should be sent."""
        return self.reached < self.top or any(answer.has_gap for answer in self.answers.values())

    @property
    def resume_from(self) -> int:
        """The `last_seq` to ask with: below every question whose answer is open here.

        An answer may have failed without text meanwhile; that has no number, but its question tells it when replayed.
        """
        open_questions = {answer.in_reply_to for answer in self.answers.values() if answer.state is None}
        seqs = [line.seq for line in self.lines.values() if line.message_id in open_questions]
        return min([self.reached, *(seq - 1 for seq in seqs)])

    def apply(self, frame: Frame) -> None:
        """Take one frame of this session, live or replayed; frames about nothing that is kept are passed over."""
        match frame["type"]:
            case "user_message":
                self.keep(_line(frame, frame["sender"], frame["content"]))
                if "reply" in frame:
                    self._learn(frame["reply"], frame["message_id"])
            case "loading":
                self._answer(frame)
            case "ai_response" if frame["metadata"].get("done") == "true":
                self._finish(frame)
            case "ai_response":
                self._add(self._answer(frame), frame["content"], frame["offset"])
            case "error" if "reply_id" in frame:
                self._fail(frame)
            case "resumed":
                self.top = max(self.top, frame["top"])
                for answer in self.answers.values():
                    answer.has_gap = False  # what is running follows, from its beginning

    def keep(self, line: Line) -> None:
        """Keep a stored message; one's own comes with its `ack`."""
        known = self.lines.setdefault(line.seq, line)
        if (known.message_id, known.content) != (line.message_id, line.content):
            self.conflicts.append(f"seq {line.seq} is message {known.message_id} and {line.message_id}")
        self.top = max(self.top, line.seq)
        while self.reached + 1 in self.lines:
            self.reached += 1

    def note_top(self, top: int) -> None:
        """A heartbeat told the session's highest `seq`."""
        self.top = max(self.top, top)

    def open_answer(self, reply_id: str, in_reply_to: str) -> Answer:
        """The reply of this id, new or known; an `ack` announces one."""
        return self.answers.setdefault(reply_id, Answer(reply_id, in_reply_to))

    def _answer(self, frame: Frame) -> Answer:
        return self.open_answer(frame["reply_id"], frame["in_reply_to"])

    def _learn(self, reply: Frame, in_reply_to: str) -> None:
        """What a replayed question says of its latest reply; earlier ones are over."""
        answer = self.open_answer(reply["reply_id"], in_reply_to)
        if reply["state"] not in RUNNING:
            self._end(answer, reply["state"], reply.get("error"))
        for other in self.answers.values():
            if other is answer:
                break  # those after it were heard of later: this page was read before they began
            if other.in_reply_to == in_reply_to and other.state is None:
                self._end(other, "superseded", None)

    def _add(self, answer: Answer, content: str, offset: int) -> None:
        if answer.state is not None:
            return  # late
        have = len(answer.text)
        if offset > have:
            answer.has_gap = True
            return
        if answer.text[offset : offset + len(content)] != content[: have - offset]:
            self.conflicts.append(f"reply {answer.reply_id} has another text at {offset}")
        answer.text += content[have - offset :]
        answer.has_gap = False

    def _finish(self, frame: Frame) -> None:
        """The terminal `ai_response`, live (an offset and no more text) or replayed (the whole text at 0)."""
        if "in_reply_to" not in frame or "reply_id" not in frame:
            self.keep(_line(frame, "ai", frame["content"]))
            return
        answer = self._answer(frame)
        if frame["offset"] == 0 and "reply" in frame:
            answer.text = frame["content"]
        else:
            self._add(answer, frame["content"], frame["offset"])
        self._keep_text(answer, frame)
        reply = frame.get("reply", {})
        self._end(answer, reply.get("state", frame["state"]), reply.get("error"))

    def _fail(self, frame: Frame) -> None:
        answer = self._answer(frame)
        self._keep_text(answer, frame)
        self._end(answer, "partial" if "seq" in frame else "failed", frame["error"])

    def _keep_text(self, answer: Answer, frame: Frame) -> None:
        """Keep an answer as the line it became; unless a piece of it is missing, which `resume` then brings."""
        if "seq" not in frame:
            return
        self.top = max(self.top, frame["seq"])
        length = frame["content_length"]
        if answer.state is None and len(answer.text) >= length:
            # More than that was seen, and never stored: its process died.
            self.keep(_line(frame, "ai", answer.text[:length]))
        elif "reply" in frame:
            self.keep(_line(frame, "ai", frame["content"]))

    def _end(self, answer: Answer, state: str, error: Frame | None) -> None:
        reference = error["reference"] if error else None
        if answer.state in (None, "superseded"):
            answer.state, answer.reference, answer.has_gap = state, reference, False
        elif state != "superseded" and (answer.state, answer.reference) != (state, reference):
            self.conflicts.append(
                f"reply {answer.reply_id} ended {answer.state} {answer.reference}, and {state} {reference}"
            )


def _line(frame: Frame, sender: str, content: str) -> Line:
    return Line(frame["seq"], frame["message_id"], sender, content, frame.get("client_ref"))
