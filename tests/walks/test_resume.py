"""Coming back: what was missed is sent in order, a running answer goes on, and every reply ends once."""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta
from unittest.mock import Mock

import pytest
from django.db import OperationalError
from django.utils import timezone

from chat import missed, runtime
from chat.llm.demo import DemoBackend
from chat.llm.window import estimate
from chat.models import ChatMessage, ChatSession, Reply
from tests.waiting import in_time
from tests.walks.stored import quiet_session


class TestResume:
    async def test_missed_messages_come_in_order_and_in_pages(self, alice, configure):
        configure(resume_page=3)
        session_id = await quiet_session(alice.user_id, 8)
        device = await alice.connect()
        seqs, last, top = [], 1, None
        while last != top:
            await device.send("resume", session_id=session_id, last_seq=last, ref=f"from-{last}")
            page = await device.expect("resumed", ref=f"from-{last}")
            assert (page["from"], page["recovered"]) == (last, True)
            seqs += [frame["seq"] for frame in await device.rest() if frame["type"] == "user_message"]
            last, top = page["to"], page["top"]
        assert seqs == [2, 3, 4, 5, 6, 7, 8]

    async def test_who_missed_too_much_gets_the_newest_and_is_told(self, alice, configure):
        configure(resume_page=3, resume_limit=5)
        session_id = await quiet_session(alice.user_id, 8)
        device = await alice.connect()
        await device.send("resume", session_id=session_id, last_seq=0)
        page = await device.expect("resumed")
        assert (page["from"], page["to"], page["top"], page["recovered"]) == (0, 8, 8, False)
        assert [frame["seq"] for frame in await device.rest() if "seq" in frame] == [6, 7, 8]

    async def test_who_is_ahead_of_the_database_starts_anew(self, alice):
        session_id = await quiet_session(alice.user_id, 2)
        device = await alice.connect()
        await device.send("resume", session_id=session_id, last_seq=9)
        page = await device.expect("resumed")
        assert (page["to"], page["top"], page["recovered"]) == (2, 2, False)

    @pytest.mark.parametrize(("length", "is_sent_unasked"), [(8, True), (40, False)])
    async def test_what_could_not_be_read_is_sent_later_unless_it_is_too_much(
        self, alice, configure, monkeypatch, length, is_sent_unasked
    ):
        """After an outage nobody is sent a whole history that a healthy database would not have sent either."""
        configure(resume_limit=10, resume_page=5)
        session_id = await quiet_session(alice.user_id, length)
        device = await alice.connect()
        with monkeypatch.context() as broken:
            broken.setattr(missed, "read", Mock(side_effect=OperationalError))
            await device.send("resume", session_id=session_id, last_seq=0, ref="r1")
            await device.expect_error("DATABASE_ERROR", ref="r1")
        (connection,) = runtime.current().connections.values()
        assert connection.progress(session_id).is_behind is is_sent_unasked
        await device.send("resume", session_id=session_id, last_seq=0, ref="r2")
        resumed = await device.expect("resumed", ref="r2")
        assert resumed["recovered"] is is_sent_unasked
        assert len([frame for frame in device.received if frame["type"] == "user_message"]) == 5

    async def test_a_failed_answer_shows_the_same_error_to_who_comes_later(self, alice, configure):
        configure(fault_commands=True)
        device = await alice.connect()
        ack = await device.say("/fault midstream", ref="r1")
        told = await device.expect("error", reply_id=ack["reply_id"])
        assert (told["error"]["code"], told["error"]["outcome"]) == ("REPLY_INTERRUPTED", "partial")

        later = await alice.connect()
        await later.send("resume", session_id=ack["session_id"], last_seq=0)
        question = await later.expect("user_message", seq=1)
        partial = await later.expect("ai_response", seq=2)
        assert question["reply"] == {"reply_id": ack["reply_id"], "state": "partial", "error": told["error"]}
        assert (partial["state"], partial["message_id"], partial["offset"]) == ("partial", told["message_id"], 0)
        assert len(partial["content"]) == partial["content_length"] == told["content_length"]

        status, body = await asyncio.to_thread(_read, alice, ack["session_id"])
        assert status == 200
        assert [message["reply"]["error"] for message in body["messages"]] == [told["error"]] * 2

    async def test_closing_the_tab_does_not_end_the_answer(self, alice, configure):
        """Another device joins in the middle and goes on from the text so far, without a gap."""
        configure(fault_commands=True, checkpoint_s=0.05)
        tab = await alice.connect()
        ack = await tab.say("/fault slow", ref="r1")
        await tab.expect("ai_response", reply_id=ack["reply_id"])
        await tab.close()

        phone = await alice.connect()
        assert phone.status["session_id"] == ack["session_id"]
        await phone.send("resume", session_id=ack["session_id"], last_seq=0)
        await phone.expect("resumed")
        text = await phone.answer(ack["reply_id"], timeout=15)
        stored = await ChatMessage.objects.aget(session_id=ack["session_id"], seq=2)
        assert stored.content == text
        assert "ten seconds" in text

    async def test_a_new_message_names_its_answer_to_the_other_devices(self, alice):
        """One that is cut off right after it asks for the answer when it comes back, however that ended."""
        laptop, phone = await alice.connect(), await alice.connect()
        ack = await laptop.say("hello", ref="r1")
        await laptop.answer(ack["reply_id"])
        await phone.send("resume", session_id=ack["session_id"], last_seq=2)
        await phone.expect("resumed")
        second = await laptop.say("and again", ref="r2", session_id=ack["session_id"])
        heard = await phone.expect("user_message", message_id=second["message_id"])
        assert heard["reply"] == {"reply_id": second["reply_id"], "state": "pending"}

    async def test_an_answer_that_left_no_text_is_told_to_who_was_away(self, alice):
        """Its question was known and it has no number. The latest answer to a message counts, if it has no text."""
        session_id = await quiet_session(alice.user_id, 4)
        question = {message.seq: message async for message in ChatMessage.objects.filter(session_id=session_id)}

        async def reply(seq: int, attempt: int, **facts: object) -> str:
            lease = {"lease_until": timezone.now(), "ended_at": timezone.now()}
            owner = {"session_id": session_id, "owner_key": alice.user_id}
            made = await Reply.objects.acreate(message=question[seq], attempt=attempt, **owner, **lease, **facts)
            return str(made.pk)

        error = {
            "code": "LLM_TIMEOUT", "category": "service", "message": "Too long.", "recoverable": True,
            "outcome": "saved", "reference": "E-2345-6789", "actions": ["retry"], "attempt": 2,
        }  # fmt: skip
        first = {"state": "failed", "error": error | {"attempt": 1}}
        await reply(1, 1, **first)
        failed = await reply(1, 2, state="failed", error=error)
        await reply(2, 1, **first)
        stopped = await reply(2, 2, state="stopped")
        only = await reply(3, 1, **first)
        await reply(4, 1, **first)
        await reply(4, 2, state="failed", error=error)
        await reply(4, 3, state="complete", answer=await ChatMessage.objects.acreate(
            session_id=session_id, seq=5, sender="ai", content="At last."
        ))  # fmt: skip
        await ChatSession.objects.filter(pk=session_id).aupdate(last_seq=5)

        device = await alice.connect()
        await device.send("resume", session_id=session_id, last_seq=5)
        await device.expect("resumed")
        await device.expect("error", reply_id=failed, in_reply_to=str(question[1].pk), error=error)
        await device.expect("ai_response", reply_id=stopped, state="stopped", content_length=0)
        await device.expect("error", reply_id=only, in_reply_to=str(question[3].pk))
        told = [frame["reply_id"] for frame in await device.rest() if "reply_id" in frame]
        assert set(told) <= {failed, stopped, only}


def _read(person, session_id):
    answer = person.client.get(f"/chat/sessions/{session_id}")
    return answer.status_code, answer.json()


class TestStop:
    async def test_any_device_stops_it_and_the_text_is_kept(self, alice, configure):
        configure(fault_commands=True)
        laptop, phone = await alice.connect(), await alice.connect()
        ack = await laptop.say("/fault slow", ref="r1")
        await laptop.expect("ai_response", reply_id=ack["reply_id"])
        await phone.send("stop", reply_id=ack["reply_id"], ref="s1")
        await phone.expect("ack", ref="s1", reply_id=ack["reply_id"])
        ends = [await device.expect("ai_response", state="stopped") for device in (laptop, phone)]
        stored = await ChatMessage.objects.aget(session_id=ack["session_id"], seq=2)
        assert [end["content_length"] for end in ends] == [len(stored.content)] * 2
        await phone.send("stop", reply_id=ack["reply_id"], ref="s2")
        await phone.expect("ack", ref="s2")


class TestRetry:
    async def test_a_failed_answer_is_tried_again(self, alice, configure):
        configure(fault_commands=True)
        device = await alice.connect()
        ack = await device.say("/fault unavailable", ref="r1")
        first = await device.expect("error", reply_id=ack["reply_id"])
        assert first["error"]["attempt"] == 1
        assert "retry" in first["error"]["actions"]

        await device.send("retry", message_id=ack["message_id"], ref="r2")
        again = await device.expect("ack", ref="r2")
        assert (again["message_id"], again["seq"], again["duplicate"]) == (ack["message_id"], 1, False)
        assert again["reply_id"] != ack["reply_id"]
        assert await device.answer(again["reply_id"])

        await device.send("retry", message_id=ack["message_id"], ref="r3")
        third = await device.expect("ack", ref="r3")
        assert (third["reply_id"], third["duplicate"]) == (again["reply_id"], True)

    async def test_continuing_gives_the_model_the_partial_text(self, alice, configure, monkeypatch):
        configure(fault_commands=True)
        device = await alice.connect()
        ack = await device.say("/fault midstream", ref="r1")
        await device.expect("error", reply_id=ack["reply_id"])
        partial = (await ChatMessage.objects.aget(session_id=ack["session_id"], seq=2)).content
        given = []
        real = DemoBackend.stream

        def spy(self, request):
            given.append(request)
            return real(self, request)

        monkeypatch.setattr(DemoBackend, "stream", spy)
        await device.send("retry", message_id=ack["message_id"], ref="r2", metadata={"mode": "continue"})
        again = await device.expect("ack", ref="r2")
        await device.answer(again["reply_id"])
        assert [(request.attempt, request.partial_text) for request in given] == [(2, partial)]


class TestLimits:
    async def test_a_message_over_the_limit_is_told_when_to_come_back(self, alice, configure):
        configure(messages_per_minute=2)
        device, other = await alice.connect(), await alice.connect()
        await device.say("one", ref="r1")
        await other.say("two", ref="r2")
        await device.send("user_message", content="three", ref="r3")
        error = (await device.expect("error", ref="r3"))["error"]
        assert (error["code"], error["category"], error["recoverable"]) == ("TOO_MANY_REQUESTS", "rate_limit", True)
        assert 1 <= error["retry_after"] <= 120_000  # the minute before counts, too
        await device.send("ping", ref="p")
        await device.expect("pong", ref="p")

    async def test_only_so_many_answers_run_at_once(self, alice, configure):
        configure(max_running_replies=1, fault_commands=True)
        device, other = await alice.connect(), await alice.connect()
        ack = await device.say("/fault slow", ref="r1")
        await other.send("user_message", content="and this?", ref="r2")
        error = (await other.expect("error", ref="r2"))["error"]
        assert (error["code"], error["outcome"]) == ("TOO_MANY_REQUESTS", "rejected")
        await device.send("stop", reply_id=ack["reply_id"])
        await device.expect("ai_response", state="stopped")
        await other.say("and this?", ref="r2")

    @pytest.mark.parametrize("ends_by", ["stop", "time limit", "itself"])
    async def test_an_answer_that_its_provider_did_not_count_is_not_free(self, alice, configure, monkeypatch, ends_by):
        """Providers count at the end, which a stopped answer does not reach: that must not be a way past the limit."""
        configure(tokens_per_day=50, next_token_s=0.3 if ends_by == "time limit" else 10)

        async def stream(backend, request):
            yield "word " * 100
            if ends_by != "itself":
                await asyncio.sleep(30)

        monkeypatch.setattr(DemoBackend, "stream", stream)
        device = await alice.connect()
        ack = await device.say("how? " * 20, ref="r1")
        await device.expect("ai_response", reply_id=ack["reply_id"])
        if ends_by == "stop":
            await device.send("stop", reply_id=ack["reply_id"])
        await device.expect("error" if ends_by == "time limit" else "ai_response", seq=2)
        await device.send("user_message", content="more", ref="r2", session_id=ack["session_id"])
        assert (await device.expect_error("TOO_MANY_REQUESTS", ref="r2"))["outcome"] == "rejected"
        reply = await Reply.objects.aget()
        assert (reply.prompt_tokens, reply.completion_tokens) == (estimate("how? " * 20), estimate("word " * 100))
        await device.close()

    async def test_an_answer_that_was_stopped_before_its_first_word_was_asked_for(self, alice, monkeypatch):
        asked = asyncio.Event()

        async def stream(backend, request):
            asked.set()
            await asyncio.sleep(30)
            yield "late"

        monkeypatch.setattr(DemoBackend, "stream", stream)
        device = await alice.connect()
        ack = await device.say("hello", ref="r1")
        await asked.wait()
        await device.send("stop", reply_id=ack["reply_id"])
        await device.expect("ai_response", state="stopped")
        reply = await Reply.objects.aget()
        assert (reply.prompt_tokens, reply.completion_tokens) == (estimate("hello"), 0)
        await device.close()

    async def test_an_answer_that_the_provider_refused_costs_nothing(self, alice, configure):
        configure(fault_commands=True)
        device = await alice.connect()
        ack = await device.say("/fault unavailable", ref="r1")
        await device.expect("error", reply_id=ack["reply_id"])
        assert (await Reply.objects.aget()).prompt_tokens is None
        await device.close()


class TestOrphans:
    @pytest.mark.parametrize(
        ("text", "outcome", "state"), [("Half an ans", "partial", "partial"), ("", "saved", "failed")]
    )
    async def test_a_reply_whose_process_died_is_ended_once(self, alice, configure, failures, text, outcome, state):
        configure(lease_s=0.3)
        session_id = await quiet_session(alice.user_id, 1)
        question = await ChatMessage.objects.aget(session_id=session_id)
        reply = await Reply.objects.acreate(
            session_id=session_id,
            message=question,
            owner_key=alice.user_id,
            text=text,
            lease_until=timezone.now() + timedelta(seconds=1),
        )
        device = await alice.connect()
        await device.send("resume", session_id=session_id, last_seq=1)
        await device.expect("resumed")
        frame = await device.expect("error", reply_id=str(reply.pk))
        assert (frame["error"]["code"], frame["error"]["outcome"]) == ("REPLY_INTERRUPTED", outcome)
        await reply.arefresh_from_db()
        assert reply.state == state
        assert await ChatMessage.objects.filter(session_id=session_id, sender="ai").acount() == int(bool(text))
        (row,) = await failures()
        assert row.deliveries == 1

    async def test_those_of_a_big_process_are_all_ended_in_one_round(self, alice, configure):
        configure(lease_s=3)
        session_id = await quiet_session(alice.user_id, 90)
        questions = [message async for message in ChatMessage.objects.filter(session_id=session_id)]
        owner = {"session_id": session_id, "owner_key": alice.user_id, "lease_until": timezone.now()}
        await Reply.objects.abulk_create(Reply(message=question, **owner) for question in questions)
        device = await alice.connect()
        began = time.monotonic()
        while await Reply.objects.filter(state="pending").aexists():  # noqa: ASYNC110 -- rows tell nobody
            await asyncio.sleep(0.05)
        in_time(time.monotonic() - began, 3.5, "ending 90 orphans")  # four rounds more would be four seconds
        assert await Reply.objects.filter(state="failed").acount() == 90
        await device.close()


async def test_going_down_tells_everybody_and_keeps_the_text(alice, configure, failures):
    """`goodbye`, the running answer interrupted, close 4000; then nothing of the runtime is left."""
    configure(fault_commands=True)
    device = await alice.connect()
    ack = await device.say("/fault slow", ref="r1")
    await device.expect("ai_response", reply_id=ack["reply_id"])
    before = asyncio.all_tasks()

    await runtime.current().aclose(grace_s=5)

    goodbye = await device.expect("goodbye")
    assert (goodbye["reason"], goodbye["reconnect_in"] > 0) == ("restarting", True)
    frame = await device.expect("error", reply_id=ack["reply_id"])
    assert (frame["error"]["code"], frame["error"]["outcome"]) == ("REPLY_INTERRUPTED", "partial")
    assert await device.expect_close() == 4000
    assert (await Reply.objects.aget(pk=ack["reply_id"])).state == "partial"
    await device.close()
    left = {task.get_coro().__qualname__ for task in asyncio.all_tasks() & before}
    assert not {name for name in left if name.startswith(("Hub.", "Replies.", "Runtime.", "ReplyStream."))}


async def test_what_is_stored_after_the_replies_have_closed_is_ended_by_the_next_process(alice, configure, failures):
    """An append may commit late while the server goes down: its reply fails once, and not in two processes."""
    configure(lease_s=1, checkpoint_s=0.3)
    device = await alice.connect()
    going_down = runtime.current()
    await going_down.replies.aclose(grace_s=0.5)
    ack = await device.say("hello", ref="r1")
    await asyncio.sleep(1.4)  # its own reaper would find the lease over
    assert (await Reply.objects.aget()).state == "pending"
    assert await failures() == []
    await going_down.aclose(grace_s=0.5)

    phone = await alice.connect()
    assert runtime.current() is not going_down
    await phone.send("resume", session_id=ack["session_id"], last_seq=0)
    await phone.expect_error("REPLY_INTERRUPTED", reply_id=ack["reply_id"])
    assert len(await failures()) == 1
    await phone.close()
    await device.close()


async def test_heartbeats_carry_the_top_of_every_session(alice, configure):
    configure(heartbeat_s=0.2)
    device = await alice.connect()
    ack = await device.say("hello", ref="r1")
    await device.answer(ack["reply_id"])
    await device.expect("heartbeat", top={ack["session_id"]: 2})
