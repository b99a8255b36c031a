"""Coming back: what was missed is sent in order, and a running answer goes on."""

from __future__ import annotations

import asyncio
from unittest.mock import Mock

import pytest
from django.db import OperationalError
from django.utils import timezone

from chat import missed, runtime
from chat.models import ChatMessage, ChatSession, Reply
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


async def test_heartbeats_carry_the_top_of_every_session(alice, configure):
    configure(heartbeat_s=0.2)
    device = await alice.connect()
    ack = await device.say("hello", ref="r1")
    await device.answer(ack["reply_id"])
    await device.expect("heartbeat", top={ack["session_id"]: 2})
