"""Replies whose process is gone: each ends once."""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta

import pytest
from django.utils import timezone

from chat import runtime
from chat.models import ChatMessage, Reply
from tests.waiting import in_time
from tests.walks.stored import quiet_session


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
