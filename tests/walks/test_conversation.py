"""The success walk: a message, its acknowledgement, its answer, on one device and on two."""

from __future__ import annotations

from chat.models import ChatMessage, ChatSession, Reply


class TestConversation:
    async def test_a_message_is_acknowledged_answered_and_stored(self, alice):
        device = await alice.connect()
        assert device.status["session_id"] is None

        ack = await device.say("Hello there", ref="r1")
        text = await device.answer(ack["reply_id"])

        session = await ChatSession.objects.aget(pk=ack["session_id"])
        assert (session.title, session.last_seq) == ("Hello there", 2)
        stored = [m async for m in ChatMessage.objects.filter(session=session).order_by("seq")]
        assert [(m.seq, m.sender, m.content) for m in stored] == [(1, "user", "Hello there"), (2, "ai", text)]
        assert (await Reply.objects.aget(pk=ack["reply_id"])).state == "complete"
        await device.close()
