"""What a person can do about an answer: end it, ask for it again, have it continued."""

from __future__ import annotations

import threading

import pytest

from chat import jobs
from chat.llm.demo import DemoBackend
from chat.models import ChatMessage
from errors.exceptions import ChatError
from errors.taxonomy import LLM_UNAVAILABLE, REPLY_INTERRUPTED


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


class Broken(DemoBackend):
    """Says the next of these parts each time it is asked, and breaks off after it; None: before the first word."""

    def __init__(self, *parts):
        self.parts = list(parts)
        self.given = []

    async def stream(self, request):
        self.given.append(request)
        part = self.parts.pop(0)
        if part is None:
            raise ChatError(LLM_UNAVAILABLE)
        yield part
        if self.parts:
            raise ChatError(REPLY_INTERRUPTED)


class TestContinuing:
    """An answer that goes on from where it broke off is one answer in several parts."""

    @pytest.fixture
    def break_off(self, monkeypatch):
        """Let the provider say these parts, one at each attempt, and break off after each but the last."""

        def start(*parts):
            broken = Broken(*parts)
            monkeypatch.setattr(DemoBackend, "stream", lambda _, request: broken.stream(request))
            return broken

        return start

    async def test_every_frame_says_which_reply_it_continues(self, alice, break_off):
        break_off("```py\na = 1\n", "b = 2\n", None, "```\nDone.")
        laptop, phone = await alice.connect(), await alice.connect()
        ack = await laptop.say("write code", ref="r1")
        first = await laptop.expect("error", reply_id=ack["reply_id"])
        await phone.send("resume", session_id=ack["session_id"], last_seq=0, ref="s1")
        await phone.expect("resumed", ref="s1", to=2)
        assert "continues" not in first
        before, parts = ack["reply_id"], []
        for ref, ending in (("r2", "error"), ("r3", "error"), ("r4", "ai_response")):
            await laptop.send("retry", message_id=ack["message_id"], ref=ref, metadata={"mode": "continue"})
            again = await laptop.expect("ack", ref=ref, duplicate=False)
            assert again["continues"] == before
            for device in (laptop, phone):
                done = {} if ending == "error" else {"metadata": {"streaming": "false", "done": "true"}}
                await device.expect(ending, reply_id=again["reply_id"], **done)
                told = [frame for frame in device.received if frame.get("reply_id") == again["reply_id"]]
                assert {"loading", ending} <= {frame["type"] for frame in told}
                assert {frame.get("continues") for frame in told} == {before}
            parts.append(again["reply_id"])
            before = again["reply_id"] if ref == "r2" else before  # what left no text is no part of it

        await laptop.send("retry", message_id=ack["message_id"], ref="r5", metadata={"mode": "continue"})
        assert (await laptop.expect("ack", ref="r5", duplicate=True))["continues"] == parts[0]
        late = await alice.connect()
        await late.send("resume", session_id=ack["session_id"], last_seq=0, ref="s2")
        await late.expect("resumed", ref="s2")
        shown = [frame for frame in late.received if frame["type"] in {"user_message", "ai_response"}]
        assert [frame["reply"].get("continues") for frame in shown] == [parts[0], None, ack["reply_id"], parts[0]]
        assert [frame["seq"] for frame in shown] == [1, 2, 3, 4]

    async def test_the_model_is_given_all_parts_as_one_text(self, alice, break_off):
        broken = break_off("one, ", "two, ", None, "three", "And more.")
        device = await alice.connect()
        ack = await device.say("count", ref="r1")
        await device.expect("error", reply_id=ack["reply_id"])
        for ref in ("r2", "r3", "r4"):
            await device.send("retry", message_id=ack["message_id"], ref=ref, metadata={"mode": "continue"})
            await device.expect("error", reply_id=(await device.expect("ack", ref=ref))["reply_id"])
        await device.answer(await device.say("Go on", ref="r5", session_id=ack["session_id"]))
        assert [request.partial_text for request in broken.given] == ["", "one, ", "one, two, ", "one, two, ", ""]
        assert [turn.content for turn in broken.given[-1].turns] == ["count", "one, two, three", "Go on"]

    async def test_without_a_text_to_go_on_from_it_is_a_new_answer(self, alice, break_off):
        broken = break_off(None, "All of it.")
        device = await alice.connect()
        ack = await device.say("count", ref="r1")
        await device.expect("error", reply_id=ack["reply_id"])
        await device.send("retry", message_id=ack["message_id"], ref="r2", metadata={"mode": "continue"})
        again = await device.expect("ack", ref="r2")
        assert "continues" not in again
        assert await device.answer(again) == "All of it."
        assert broken.given[-1].partial_text == ""

    async def test_what_is_stored_late_still_continues(self, alice, break_off, configure, monkeypatch):
        """Its device was told `unknown`, for the database hung; the answer goes on as it was asked for."""
        broken = break_off("one, ", "two.")
        device = await alice.connect()
        ack = await device.say("count", ref="r1")
        await device.expect("error", reply_id=ack["reply_id"])
        configure(database_timeout_s=0.3)
        is_released, real = threading.Event(), jobs.Retry.run
        monkeypatch.setattr(jobs.Retry, "run", lambda job, batch: is_released.wait(10) and real(job, batch))
        await device.send("retry", message_id=ack["message_id"], ref="r2", metadata={"mode": "continue"})
        assert (await device.expect_error("DATABASE_ERROR", ref="r2"))["outcome"] == "unknown"
        is_released.set()
        loading = await device.expect("loading", in_reply_to=ack["message_id"], continues=ack["reply_id"])
        assert await device.answer(loading) == "two."
        assert broken.given[-1].partial_text == "one, "
