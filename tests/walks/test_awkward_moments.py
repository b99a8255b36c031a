"""What comes while something is being read, or where a client knows less than others: nobody waits for it in vain."""

from __future__ import annotations

import asyncio
import threading
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from channels.layers import get_channel_layer

from chat import groups, missed, push, repair, runtime
from chat.encoded import Encoded
from chat.handlers import resume
from chat.history import MessageFacts
from chat.llm.demo import DemoBackend
from chat.missed import Missed
from chat.models import ChatMessage, Reply
from chat.progress import Progress
from chat.reply_progress import ReplyProgress
from errors.exceptions import ChatError
from errors.taxonomy import LLM_UNAVAILABLE
from tests.walks.stored import quiet_session


class TestAnEndWithoutText:
    """It has no number; it comes while the database is being read, which then says that the reply is running."""

    @pytest.fixture
    def may_fail(self, monkeypatch: pytest.MonkeyPatch) -> threading.Event:
        may_fail = threading.Event()

        async def stream(self: DemoBackend, request: Any) -> AsyncIterator[str]:
            yield ""
            await asyncio.to_thread(may_fail.wait, 10)
            raise ChatError(LLM_UNAVAILABLE)

        monkeypatch.setattr(DemoBackend, "stream", stream)
        return may_fail

    async def test_during_resume(self, alice, monkeypatch, configure, may_fail):
        configure(heartbeat_s=60)
        has_failed, read = threading.Event(), resume._read

        def slow_read(*args: Any) -> Any:
            page = read(*args)
            may_fail.set()
            assert has_failed.wait(10)
            return page

        laptop, phone = await alice.connect(), await alice.connect()
        ack = await laptop.say("hello", ref="r1")
        await laptop.expect("loading", reply_id=ack["reply_id"])
        monkeypatch.setattr(resume, "_read", slow_read)
        await phone.send("resume", session_id=ack["session_id"], last_seq=0)
        await laptop.expect("error", reply_id=ack["reply_id"])
        has_failed.set()
        await phone.expect("resumed")
        await phone.expect("error", reply_id=ack["reply_id"])

    async def test_during_repair(self, alice, monkeypatch, configure, may_fail):
        configure(heartbeat_s=60)
        has_failed, is_armed, read = threading.Event(), threading.Event(), missed.read

        def slow_read(*args: Any, **options: Any) -> Any:
            found = read(*args, **options)
            if is_armed.is_set() and options.get("reply_ids"):
                is_armed.clear()
                may_fail.set()
                assert has_failed.wait(10)
            return found

        monkeypatch.setattr(missed, "read", slow_read)
        laptop, phone = await alice.connect(), await alice.connect()
        ack = await laptop.say("hello", ref="r1")
        await phone.send("resume", session_id=ack["session_id"], last_seq=0)
        await phone.expect("resumed")
        await phone.expect("loading", reply_id=ack["reply_id"])
        current = runtime.current()
        connection = current.connections[phone.status["connection_id"]]
        progress = connection.progress(ack["session_id"])
        assert progress is not None
        is_armed.set()
        monkeypatch.setattr(current.replies, "stream", lambda reply_id: None)  # as if it ran in another process
        progress.replies[ack["reply_id"]].is_behind = True  # a frame of it was lost
        current.repairs.look_at(connection, ack["session_id"])
        await laptop.expect("error", reply_id=ack["reply_id"])
        has_failed.set()
        await phone.expect("error", reply_id=ack["reply_id"])

    async def test_while_nobody_was_connected(self, alice, may_fail):
        """The client does what docs/protocol.md says, and resumes with the last number that it has."""
        laptop = await alice.connect()
        ack = await laptop.say("hello", ref="r1")
        await laptop.close()
        may_fail.set()
        async with asyncio.timeout(5):
            while not await Reply.objects.filter(pk=ack["reply_id"], state="failed").aexists():  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        again = await alice.connect()
        await again.send("resume", session_id=ack["session_id"], last_seq=ack["seq"])
        await again.expect("resumed")
        await again.expect("error", reply_id=ack["reply_id"], in_reply_to=ack["message_id"])


class TestWhatIsPushed:
    """A project may push frames with numbers of its own; they take no stored message's place."""

    @pytest.mark.parametrize("seq", [3, 99], ids=["the next one's", "a far one"])
    async def test_a_number(self, alice, seq):
        laptop, phone = await alice.connect(), await alice.connect()
        ack = await laptop.say("hello", ref="r1")
        session_id = ack["session_id"]
        await laptop.answer(ack)
        await phone.send("resume", session_id=session_id, last_seq=0)
        await phone.expect("resumed")
        pushed = {"type": "user_message", "content": "from the shop", "message_id": "x", "seq": seq}
        await push.abroadcast(session_id, pushed)
        for device in (laptop, phone):
            await device.expect("user_message", content="from the shop")
        third = await laptop.say("really third", ref="r2", session_id=session_id)
        assert third["seq"] == 3
        await phone.expect("user_message", content="really third")

    @pytest.mark.parametrize("content", ["\ud800", "x" * (groups.MAX_PUSHED_BYTES + 1)], ids=["no text", "too long"])
    async def test_what_cannot_be_sent_is_refused_and_costs_no_connection(self, alice, content, failures):
        device = await alice.connect()
        session_id = (await device.say("hello", ref="r1"))["session_id"]
        pushed = {"type": "notification", "content": content, "metadata": {}}
        with pytest.raises(msgspec.ValidationError):
            await push.abroadcast(session_id, pushed)
        # Past `push`, as anybody may.
        event = {"type": groups.EVENT, "session_id": session_id, "frames": [pushed]}
        await get_channel_layer().group_send(groups.of_session(session_id), event)
        await push.abroadcast(session_id, {"type": "notification", "content": "last", "metadata": {}})
        await device.expect("notification", content="last")
        assert [row.code for row in await failures()] == ["INVALID_FORMAT"]

    @pytest.mark.parametrize("spelled", [uuid.UUID, str.upper, "{{{}}}".format], ids=["a key", "capitals", "braces"])
    async def test_a_session_is_found_by_every_spelling_of_its_id(self, alice, spelled):
        device = await alice.connect()
        session_id = (await device.say("hello", ref="r1"))["session_id"]
        await push.abroadcast(spelled(session_id), {"type": "notification", "content": "hi", "metadata": {}})
        assert (await device.expect("notification", content="hi"))["session_id"] == session_id

    async def test_who_names_no_session_is_told(self):
        with pytest.raises(ValueError, match="badly formed"):
            await push.abroadcast("the shop", {"type": "notification", "metadata": {}})


class TestWhoIsBehind:
    async def test_sees_what_was_said_while_it_was_let_in(self, alice, configure, monkeypatch):
        """Between the look at the session and the join nothing of it is heard."""
        laptop = await alice.connect()
        session_id = await quiet_session(alice.user_id, 1)
        await laptop.say("one", ref="r1", session_id=session_id)
        ownership, is_found, go_on = runtime.current().ownership, asyncio.Event(), asyncio.Event()
        find = ownership.find

        async def slow(*whose):
            found = await find(*whose)
            is_found.set()
            await go_on.wait()
            return found

        monkeypatch.setattr(ownership, "find", slow)
        phone = await alice.connect()  # its pipeline asks the slow one
        await phone.send("typing_indicator", session_id=session_id)
        await is_found.wait()
        second = await laptop.say("two", ref="r2", session_id=session_id)
        go_on.set()
        await phone.expect("user_message", seq=second["seq"], content="two")

    async def test_sees_the_question_of_its_own_retry(self, alice, configure):
        """The `ack` of a retry has the number of an old message, which this device may not have yet."""
        configure(resume_page=5)
        session_id = await quiet_session(alice.user_id, 20)
        question = await ChatMessage.objects.aget(session_id=session_id, seq=12)
        phone = await alice.connect()
        await phone.send("resume", session_id=session_id, last_seq=0)
        await phone.expect("resumed")
        await phone.send("retry", message_id=str(question.pk), ref="again")
        await phone.expect("ack", ref="again")
        await phone.expect("user_message", seq=20)
        seqs = [frame["seq"] for frame in phone.received if frame["type"] == "user_message"]
        assert seqs == list(range(1, 21))

    async def test_gets_the_answer_to_a_message_that_was_stored_before(self, alice, configure):
        """The `ack` was lost with the connection: the same message again is a duplicate, and its answer comes."""
        configure(heartbeat_s=0.2)
        laptop = await alice.connect()
        ack = await laptop.say("hello", ref="r1")
        await laptop.answer(ack)
        await laptop.close()
        again = await alice.connect()
        assert (await again.say("hello", ref="r1"))["duplicate"]
        await again.expect("ai_response", reply_id=ack["reply_id"])

    async def test_skips_nothing_when_another_one_is_further_on(self):
        """One read is shared; who lacks more than was read has its turn in the next round."""
        stored = [
            MessageFacts(f"m{seq}", "s", seq, "user", f"line {seq}", datetime.now(UTC), None, "", {}, None)
            for seq in range(1, 13)
        ]

        class Threads:
            async def run(self, read: Any, session_id: str, *, after: int | None, **_: Any) -> Missed:
                return Missed("s", [row for row in stored if after is not None and row.seq > after], 12, {})

        further, late = Patient(10), Patient(5)
        further.of_session.note_top(12)
        reply = late.of_session.replies["r"] = ReplyProgress()
        reply.is_behind = True  # all that it knows: that there is a 6 nobody has told it yet
        tasks: list[asyncio.Task[None]] = []
        no_streams: Any = SimpleNamespace(stream=lambda _: None)
        repairs = repair.Repairs(Threads(), no_streams, lambda work: tasks.append(asyncio.create_task(work)))  # type: ignore[arg-type]
        repairs.look_at(further, "s")
        repairs.look_at(late, "s")
        await asyncio.wait(tasks, timeout=5)
        assert further.seqs == [11, 12]
        assert late.seqs == list(range(6, 13))


class Patient:
    """A connection that is behind, as repair sees it."""

    def __init__(self, position: int) -> None:
        self.of_session = Progress(position)
        self.seqs: list[int | None] = []
        self.outbox: Any = SimpleNamespace(
            has_room=True, is_closing=False, call_when_room=lambda: None, put=self._put, put_whole=self._put_whole
        )

    def progress(self, session_id: str) -> Progress:
        return self.of_session

    def _put(self, frame: Encoded) -> bool:
        return self._put_whole([frame])

    def _put_whole(self, frames: list[Encoded]) -> bool:
        self.seqs += [frame.seq for frame in frames if frame.seq is not None]
        return True


async def test_a_stored_error_of_another_version_is_left_out(alice, log_lines):
    """A release that was rolled back wrote it: the conversation must open all the same."""
    session_id = await quiet_session(alice.user_id, 1)
    question = await ChatMessage.objects.aget(session_id=session_id)
    reply = await Reply.objects.acreate(
        session_id=session_id,
        message=question,
        owner_key=alice.user_id,
        state="failed",
        error={"reason": 7},
        lease_until=datetime.now(UTC),
    )
    device = await alice.connect()
    await device.send("resume", session_id=session_id, last_seq=0)
    shown = await device.expect("user_message", seq=1)
    assert shown["reply"] == {"reply_id": str(reply.pk), "state": "failed"}
    await device.expect("resumed")
    assert [line["reply_id"] for line in log_lines if line["event"] == "chat.stored_error_unreadable"] == [
        str(reply.pk)
    ]
    answer = await asyncio.to_thread(alice.client.get, f"/chat/sessions/{session_id}")
    assert (answer.status_code, answer.json()["messages"][0]["reply"]["state"]) == (200, "failed")
