"""Replies whose process is gone: each ends once."""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta
from types import SimpleNamespace

import pytest
from django.utils import timezone

from chat import frames, groups, protocol, runtime
from chat.journal import Journal
from chat.llm.demo import DemoBackend
from chat.models import ChatMessage, ChatSession, Reply
from tests.chat.locks import somebody_holds
from tests.environment import database_kind
from tests.waiting import in_time
from tests.walks.refused_texts import texts_refused
from tests.walks.stored import quiet_session


async def _left_behind(person, text: str, lease: timedelta, **facts: object) -> Reply:
    """A reply whose process died in the middle of it."""
    session_id = await quiet_session(person.user_id, 1)
    question = await ChatMessage.objects.aget(session_id=session_id)
    owner = {"owner_key": person.user_id, "lease_until": timezone.now() + lease}
    return await Reply.objects.acreate(session_id=session_id, message=question, text=text, **owner, **facts)


class TestOrphans:
    @pytest.mark.parametrize(
        ("text", "outcome", "state"), [("Half an ans", "partial", "partial"), ("", "saved", "failed")]
    )
    async def test_a_reply_whose_process_died_is_ended_once(self, alice, configure, failures, text, outcome, state):
        configure(lease_s=0.3, checkpoint_s=0.05)
        reply = await _left_behind(alice, text, timedelta(seconds=1))
        session_id = str(reply.session_id)
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

    @pytest.mark.parametrize("text", ["Half an ans", ""], ids=["with text", "before the first word"])
    async def test_one_that_was_stopped_ends_as_stopped(self, alice, configure, failures, text):
        """The stop was acknowledged, and nobody was there to heed it."""
        configure(lease_s=1, checkpoint_s=0.3)
        reply = await _left_behind(alice, text, timedelta(seconds=1))
        device = await alice.connect()
        await device.send("resume", session_id=str(reply.session_id), last_seq=1)
        await device.expect("resumed")
        await device.send("stop", ref="s", reply_id=str(reply.pk))
        await device.expect("ack", ref="s")
        frame = await device.expect("ai_response", reply_id=str(reply.pk), metadata=protocol.DONE)
        assert (frame["state"], frame["offset"], frame["content_length"]) == ("stopped", len(text), len(text))
        assert frame.get("seq") == (2 if text else None)
        await reply.arefresh_from_db()
        assert (reply.state, reply.error) == ("stopped", None)
        assert await failures() == []
        await device.close()

    async def test_who_was_shown_more_than_was_kept_gets_what_was_kept(self, alice, configure):
        configure(lease_s=1, checkpoint_s=0.3)
        reply = await _left_behind(alice, "Half an ans", timedelta(seconds=1), stop_requested=True)
        session_id, reply_id, question_id = str(reply.session_id), str(reply.pk), str(reply.message_id)
        device = await alice.connect()
        await device.send("resume", session_id=session_id, last_seq=1)
        await device.expect("resumed")
        running = SimpleNamespace(reply_id=reply_id, in_reply_to=question_id, continues=None)
        for chunk in frames.so_far(session_id, running, "Half an answer", start=len("Half an ans")):
            runtime.current().hub.broadcast(groups.of_session(session_id), chunk)
        frame = await device.expect("ai_response", reply_id=reply_id, metadata=protocol.DONE)
        assert (frame["state"], frame["offset"], frame["content"]) == ("stopped", 0, "Half an ans")
        await device.close()

    async def test_one_whose_stop_cannot_be_stored_is_told_as_failed(self, alice, configure, failures):
        configure(lease_s=1, checkpoint_s=0.3, end_patience_s=0.3, database_timeout_s=0.5)
        reply = await _left_behind(alice, "Half an ans", timedelta(seconds=1), stop_requested=True)
        async with texts_refused():
            device = await alice.connect()
            await device.send("resume", session_id=str(reply.session_id), last_seq=1)
            await device.expect("resumed")
            error = await device.expect_error("DATABASE_ERROR", reply_id=str(reply.pk))
        assert error["outcome"] == "saved"
        await reply.arefresh_from_db()
        assert (reply.state, reply.error["reference"]) == ("failed", error["reference"])
        assert len(await failures()) == 1
        await device.close()


@pytest.mark.skipif(database_kind() != "postgresql", reason="SQLite knows no locks of rows")
class TestEndsThatWait:
    """Another transaction holds the session: the end of a reply is not stored, and its lease would be over."""

    @pytest.fixture
    async def others_find(self):
        """`await others_find()`: what another process takes over within more than two leases of one second."""
        journal = Journal(runner="another-process")

        async def find():
            until = time.monotonic() + 2.5
            found = []
            while time.monotonic() < until:
                found += await journal.claim_orphans()
                await asyncio.sleep(0.02)
            return found

        yield find
        await journal.aclose()

    @pytest.mark.parametrize("patience_s", [10, 0.3], ids=["not told yet", "told already"])
    async def test_a_failed_reply_is_nobodys_orphan(
        self, alice, configure, monkeypatch, failures, others_find, patience_s
    ):
        configure(lease_s=1, checkpoint_s=0.3, end_patience_s=patience_s)
        goes_on = asyncio.Event()

        async def stream(backend, request):
            yield "Half an ans"
            await goes_on.wait()
            raise ConnectionResetError

        monkeypatch.setattr(DemoBackend, "stream", stream)
        device = await alice.connect()
        ack = await device.say("hello", ref="r1")
        async with somebody_holds(ChatSession.objects.filter(pk=ack["session_id"])):
            goes_on.set()
            assert await others_find() == []
        frame = await device.expect("error", reply_id=ack["reply_id"])
        await self._ended_once(device, failures, frame)

    async def test_nor_is_one_that_was_taken_over(self, alice, configure, failures, others_find):
        configure(lease_s=1, checkpoint_s=0.3)
        reply = await _left_behind(alice, "Half an ans", timedelta(0))
        device = await alice.connect()
        await device.send("resume", session_id=str(reply.session_id), last_seq=1)
        await device.expect("resumed")
        async with somebody_holds(ChatSession.objects.filter(pk=reply.session_id)):
            while not (await Reply.objects.aget()).runner:  # noqa: ASYNC110 -- rows tell nobody
                await asyncio.sleep(0.02)
            assert await others_find() == []
        frame = await device.expect("error", reply_id=str(reply.pk))
        await self._ended_once(device, failures, frame)

    async def _ended_once(self, device, failures, frame):
        async with asyncio.timeout(5):
            while (reply := await Reply.objects.aget()).state != "partial":  # noqa: ASYNC110 -- rows tell nobody
                await asyncio.sleep(0.05)
        assert reply.error["reference"] == frame["error"]["reference"]
        await device.rest()
        assert [frame["type"] for frame in device.received].count("error") == 1
        (row,) = await failures()
        assert (row.reference, row.deliveries) == (frame["error"]["reference"], 1)
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
