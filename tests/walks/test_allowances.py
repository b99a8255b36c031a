"""How much a person may ask for: messages a minute, answers at once, tokens a day."""

from __future__ import annotations

import asyncio

import pytest

from chat.llm.demo import DemoBackend
from chat.llm.window import estimate
from chat.models import Reply


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
        assert "waits_for" not in error
        await device.send("ping", ref="p")
        await device.expect("pong", ref="p")

    async def test_only_so_many_answers_run_at_once(self, alice, configure):
        configure(max_running_replies=1, fault_commands=True)
        device, other = await alice.connect(), await alice.connect()
        ack = await device.say("/fault slow", ref="r1")
        await other.send("user_message", content="and this?", ref="r2")
        error = (await other.expect("error", ref="r2"))["error"]
        assert (error["code"], error["outcome"], error["waits_for"]) == ("TOO_MANY_REQUESTS", "rejected", "reply")
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

    async def test_the_largest_counts_add_up(self, alice, configure):
        configure(tokens_per_day=2**32 - 2)
        most = 2**31 - 1  # as many as a column holds, which is what a provider may count
        device = await alice.connect()
        ack = await device.say("hello", ref="r1")
        await device.expect("ai_response", reply_id=ack["reply_id"], state="complete")
        await Reply.objects.aupdate(prompt_tokens=most, completion_tokens=most - 1)
        again = await device.say("again", ref="r2", session_id=ack["session_id"])
        await device.expect("ai_response", reply_id=again["reply_id"], state="complete")
        await device.send("user_message", content="more", ref="r3", session_id=ack["session_id"])
        await device.expect_error("TOO_MANY_REQUESTS", ref="r3")
        await device.close()

    async def test_an_answer_that_the_provider_refused_costs_nothing(self, alice, configure):
        configure(fault_commands=True)
        device = await alice.connect()
        ack = await device.say("/fault unavailable", ref="r1")
        await device.expect("error", reply_id=ack["reply_id"])
        assert (await Reply.objects.aget()).prompt_tokens is None
        await device.close()
