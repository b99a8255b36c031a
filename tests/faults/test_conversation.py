"""After any sequence of drops, duplicates, reorderings, crashes and resumes, a client's view equals a fresh snapshot.

A model of the server (what it stores and broadcasts, how it answers `resume`) against the reference client's reducer.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.faults.conversation import RUNNING, Conversation, Frame, Line

SESSION = "s"
PAGE = 3
PIECES = st.text("aé😀 ", min_size=1, max_size=4)


@dataclass
class Reply:
    reply_id: str
    question: Frame
    attempt: int = 1
    text: str = ""  # what its process has streamed
    kept: str = ""  # what is checkpointed
    state: str = "streaming"
    error: Frame | None = None
    answer: Frame | None = None


@dataclass
class Server:
    """The truth, and the frames that it makes of it."""

    messages: list[Frame] = field(default_factory=list)
    replies: list[Reply] = field(default_factory=list)
    references: int = 0

    @property
    def running(self) -> list[Reply]:
        return [reply for reply in self.replies if reply.state in RUNNING]

    def store(self, sender: str, content: str, **more: object) -> Frame:
        seq = len(self.messages) + 1
        message = {"seq": seq, "message_id": f"m{seq}", "sender": sender, "content": content, **more}
        self.messages.append(message)
        return message

    def end(self, reply: Reply, state: str, text: str) -> Frame:
        """End a reply as the product does; its terminal frame."""
        reply.state = state
        if text:
            reply.answer = self.store("ai", text)
        if state in ("partial", "failed"):
            self.references += 1
            reply.error = {"reference": f"E{self.references}"}
        return _end(reply)

    def resume(self, last_seq: int) -> list[Frame]:
        page = self.messages[last_seq : last_seq + PAGE]
        top = len(self.messages)
        reached = page[-1]["seq"] if page else top
        resumed = {"type": "resumed", "session_id": SESSION, "from": last_seq, "to": reached, "top": top}
        running = [frame for reply in self.running for frame in self.so_far(reply)]
        return [*map(self._replayed, page), resumed, *running, *self._silent_ends(last_seq)]

    def _silent_ends(self, up_to: int) -> list[Frame]:
        latest = {reply.question["seq"]: reply for reply in self.replies}
        return [
            _end(reply)
            for seq, reply in latest.items()
            if seq <= up_to and reply.state not in RUNNING and reply.answer is None
        ]

    def so_far(self, reply: Reply) -> list[Frame]:
        about = {"session_id": SESSION, "reply_id": reply.reply_id, "in_reply_to": reply.question["message_id"]}
        return [{"type": "loading", **about}, chunk(reply, reply.text, 0)]

    def _replayed(self, message: Frame) -> Frame:
        if message["sender"] == "user":
            latest = [reply for reply in self.replies if reply.question is message][-1]
            return message | {"type": "user_message", "session_id": SESSION, "reply": _state(latest)}
        (reply,) = (reply for reply in self.replies if reply.answer is message)
        return message | {
            "type": "ai_response",
            "session_id": SESSION,
            "reply_id": reply.reply_id,
            "in_reply_to": reply.question["message_id"],
            "offset": 0,
            "content_length": len(message["content"]),
            "metadata": {"done": "true"},
            "state": reply.state,
            "reply": _state(reply),
        }


def chunk(reply: Reply, content: str, offset: int) -> Frame:
    about = {"session_id": SESSION, "reply_id": reply.reply_id, "in_reply_to": reply.question["message_id"]}
    return about | {"type": "ai_response", "content": content, "offset": offset, "metadata": {"done": "false"}}


def _end(reply: Reply) -> Frame:
    """Its terminal frame."""
    frame: Frame = {"session_id": SESSION, "reply_id": reply.reply_id, "in_reply_to": reply.question["message_id"]}
    length = len(reply.answer["content"]) if reply.answer else 0
    if reply.answer:
        frame |= {name: reply.answer[name] for name in ("seq", "message_id")} | {"content_length": length}
    if reply.error:
        return frame | {"type": "error", "error": reply.error}
    metadata = {"done": "true"}
    return frame | {"type": "ai_response", "content": "", "offset": length, "metadata": metadata, "state": reply.state}


def _state(reply: Reply) -> Frame:
    found: Frame = {"reply_id": reply.reply_id, "state": reply.state}
    return found | ({"error": reply.error} if reply.error else {})


class Talk(RuleBasedStateMachine):
    """One server, one client, and a wire between them that loses, doubles and swaps frames until it is mended."""

    @initialize()
    def begin(self) -> None:
        self.server = Server()
        self.client = Conversation(SESSION)
        self.wire: list[Frame] = []

    # --- What the server does ---

    @rule(text=PIECES, is_own=st.booleans())
    def say(self, text: str, is_own: bool) -> None:
        """Somebody says something: we, and get an `ack`, or another device."""
        number = len(self.server.replies) + 1
        question = self.server.store("user", text, client_ref=f"r{number}")
        reply = Reply(f"reply{number}", question)
        self.server.replies.append(reply)
        if is_own:
            self.client.keep(Line(question["seq"], question["message_id"], "user", text, question["client_ref"]))
            self.client.open_answer(reply.reply_id, question["message_id"])
        else:
            self.wire.append(question | {"type": "user_message", "session_id": SESSION, "reply": _state(reply)})
        self.wire += self.server.so_far(reply)[:1]

    @precondition(lambda self: self.server.running)
    @rule(data=st.data(), piece=PIECES, is_kept=st.booleans())
    def stream(self, data: st.DataObject, piece: str, is_kept: bool) -> None:
        reply = data.draw(st.sampled_from(self.server.running))
        self.wire.append(chunk(reply, piece, len(reply.text)))
        reply.text += piece
        if is_kept:
            reply.kept = reply.text

    @precondition(lambda self: self.server.running)
    @rule(data=st.data(), way=st.sampled_from(["complete", "stopped", "error"]))
    def end(self, data: st.DataObject, way: str) -> None:
        reply = data.draw(st.sampled_from(self.server.running))
        if way == "error" or (way == "complete" and not reply.text):
            way = "partial" if reply.text else "failed"
        self.wire.append(self.server.end(reply, way, reply.text))

    @precondition(lambda self: self.server.running)
    @rule(is_told=st.booleans())
    def crash(self, is_told: bool) -> None:
        """The process dies with what it had not kept; another one ends its replies, told here or not."""
        self.wire.clear()
        for reply in self.server.running:
            frame = self.server.end(reply, "partial" if reply.kept else "failed", reply.kept)
            if is_told:
                self.wire.append(frame)

    @precondition(lambda self: any(reply.error for reply in self.server.replies))
    @rule(data=st.data())
    def retry(self, data: st.DataObject) -> None:
        question = data.draw(st.sampled_from([reply for reply in self.server.replies if reply.error])).question
        failed = [reply for reply in self.server.replies if reply.question is question][-1]
        if failed.error is None:
            return  # running, or answered by now
        reply = Reply(f"reply{len(self.server.replies) + 1}", failed.question, failed.attempt + 1)
        self.server.replies.append(reply)
        self.wire += self.server.so_far(reply)[:1]

    # --- What the wire does ---

    @precondition(lambda self: self.wire)
    @rule(data=st.data(), fate=st.sampled_from(["deliver", "deliver", "deliver", "drop", "double", "late"]))
    def transmit(self, data: st.DataObject, fate: str) -> None:
        frame = self.wire.pop(0)
        if fate == "late":
            self.wire.insert(data.draw(st.integers(0, len(self.wire))), frame)
        for _ in range({"deliver": 1, "double": 2}.get(fate, 0)):
            self.client.apply(frame)

    @rule(is_broken_off=st.booleans())
    def reconnect(self, is_broken_off: bool) -> None:
        """The wire breaks with what is on it; the answer to `resume` may break off too."""
        self.wire = self.server.resume(self.client.resume_from)
        if is_broken_off:
            self.wire = self.wire[: len(self.wire) // 2]

    @rule()
    def heartbeat(self) -> None:
        self.client.note_top(len(self.server.messages))

    # --- What holds ---

    @invariant()
    def nothing_contradicts(self) -> None:
        assert self.client.conflicts == []

    @invariant()
    def everything_shown_is_stored(self) -> None:
        for seq, line in self.client.lines.items():
            message = self.server.messages[seq - 1]
            stored = (message["message_id"], message["sender"], message["content"])
            assert (line.message_id, line.sender, line.content) == stored

    def teardown(self) -> None:
        """The wire is whole again: after one reconnect and what `resume` asks for, nothing is missing."""
        if not hasattr(self, "server"):
            return
        for reply in self.server.running:
            self.server.end(reply, "complete" if reply.text else "failed", reply.text)
        catch_up(self.server, self.client)
        fresh = Conversation(SESSION)
        catch_up(self.server, fresh)
        assert self.client.conflicts == []
        assert self.client.lines == fresh.lines
        assert sorted(self.client.lines) == list(range(1, len(self.server.messages) + 1))
        for reply in self.server.replies:
            theirs, mine = fresh.answers.get(reply.reply_id), self.client.answers.get(reply.reply_id)
            if theirs is None:
                continue  # an older attempt
            assert mine is not None, f"knows nothing of {reply.reply_id}"
            assert (mine.state, mine.reference) == (theirs.state, theirs.reference)
        assert [answer for answer in self.client.answers.values() if answer.state is None] == []


def catch_up(server: Server, client: Conversation) -> None:
    """What a client does after a reconnect: resume, page after page, until it has everything."""
    reached = client.resume_from
    while True:
        frames = server.resume(reached)
        for frame in frames:
            client.apply(frame)
        (resumed,) = (frame for frame in frames if frame["type"] == "resumed")
        reached = resumed["to"]
        if reached >= resumed["top"]:
            break
    assert not client.is_missing


TestTalk = Talk.TestCase
TestTalk.settings = settings(max_examples=120, stateful_step_count=40, deadline=None)
