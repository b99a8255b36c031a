"""What a person can do about an answer: end it, ask for it again, have it continued."""

from __future__ import annotations

from chat.llm.demo import DemoBackend
from chat.models import ChatMessage


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
