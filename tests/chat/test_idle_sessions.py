"""Sessions that nobody uses end by themselves, and only those."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from uuid import UUID

import pytest
from asgiref.sync import sync_to_async
from django.utils import timezone

from chat import idle_sessions, runtime
from chat.idle_sessions import IdleSessions
from chat.models import ChatSession, Reply, ReplyPhase

WEEK = timedelta(days=7)


@pytest.fixture
def elsewhere(own_runtime):
    """Another process, which has no connection open."""

    def create() -> IdleSessions:
        return IdleSessions(runtime.current().threads, list)

    return create


async def _session(person, *, unused: timedelta) -> str:
    moment = timezone.now() - unused
    owner_id = (await ChatSession.owner.field.related_model.objects.aget(pk=person.user_id)).pk
    session = await ChatSession.objects.acreate(owner_id=owner_id, created_at=moment, last_activity_at=moment)
    return str(session.pk)


async def _is_open(session_id: str) -> bool:
    return (await ChatSession.objects.aget(pk=UUID(session_id))).ended_at is None


async def test_after_a_week_without_use_it_ends_and_the_person_hears(alice, elsewhere):
    idle = await _session(alice, unused=WEEK + timedelta(minutes=1))
    used = await _session(alice, unused=WEEK - timedelta(minutes=1))
    device = await alice.connect()
    await elsewhere().end_idle()
    frame = await device.expect("notification", session_id=idle)
    assert frame["metadata"] == {"event": "session_ended"}
    assert not await _is_open(idle)
    assert await _is_open(used)
    await device.send("user_message", session_id=idle, content="hello?", ref="r1")
    await device.expect_error("SESSION_ENDED", ref="r1")
    await device.send("resume", session_id=idle, last_seq=0)  # it can be read
    await device.expect("resumed")


async def test_it_counts_from_the_last_use_and_not_from_its_beginning(alice, elsewhere):
    device = await alice.connect()
    ack = await device.say("hello", ref="r1")
    await device.answer(ack)
    await ChatSession.objects.aupdate(created_at=timezone.now() - 5 * WEEK)
    await elsewhere().end_idle()
    assert await _is_open(ack["session_id"])


class TestNeverWhileSomebodyIsThere:
    async def test_a_session_opened_a_moment_ago(self, alice, elsewhere):
        """The process that ends sessions knows of no connection; the database does."""
        session_id = await _session(alice, unused=2 * WEEK)
        device = await alice.connect()
        await device.send("resume", session_id=session_id, last_seq=0)
        await device.expect("resumed")
        await elsewhere().end_idle()
        assert await _is_open(session_id)
        await device.close()

    async def test_a_session_that_stays_open_for_weeks(self, alice, elsewhere):
        """Said again in every round, and over some rounds after the last tab is closed."""
        session_id = await _session(alice, unused=2 * WEEK)
        device = await alice.connect()
        await device.send("resume", session_id=session_id, last_seq=0)
        await device.expect("resumed")
        long_ago = timezone.now() - timedelta(hours=4)
        await ChatSession.objects.aupdate(seen_at=long_ago)
        await runtime.current().idle_sessions.end_idle()
        await elsewhere().end_idle()
        assert await _is_open(session_id)
        await device.close()
        await ChatSession.objects.aupdate(seen_at=long_ago)
        await elsewhere().end_idle()
        assert not await _is_open(session_id)

    async def test_when_a_processs_clock_jumps_ahead(self, alice, elsewhere, monkeypatch):
        """Its own clock is no reason: sessions in use are not said to be open, and were used a moment ago."""
        session_id = await _session(alice, unused=timedelta(minutes=1))
        real = timezone.now
        with monkeypatch.context() as jumped:
            jumped.setattr(timezone, "now", lambda: real() + WEEK)
            await elsewhere().end_idle()
        assert await _is_open(session_id)

    @pytest.mark.parametrize("state", [ReplyPhase.PENDING, ReplyPhase.STREAMING])
    async def test_a_session_in_which_an_answer_is_being_written(self, alice, elsewhere, state):
        device = await alice.connect()
        ack = await device.say("hello", ref="r1")
        await device.answer(ack)
        await device.close()
        await ChatSession.objects.aupdate(last_activity_at=timezone.now() - 2 * WEEK)
        await Reply.objects.aupdate(state=state)
        await elsewhere().end_idle()
        assert await _is_open(ack["session_id"])
        await Reply.objects.aupdate(state=ReplyPhase.COMPLETE)
        await elsewhere().end_idle()
        assert not await _is_open(ack["session_id"])


async def test_two_processes_at_once_end_each_session_once(alice, elsewhere, monkeypatch):
    """More than one batch, and every person hears of each of theirs one time."""
    monkeypatch.setattr(idle_sessions, "_BATCH", 5)
    ids = [await _session(alice, unused=WEEK * 2) for _ in range(12)]
    device = await alice.connect()
    await asyncio.gather(elsewhere().end_idle(), elsewhere().end_idle())
    heard = [frame["session_id"] for frame in await device.rest() if frame["type"] == "notification"]
    assert sorted(heard) == sorted(ids)
    await device.close()


async def test_a_server_does_it_by_itself(alice, configure):
    configure(idle_session_s=1)
    session_id = await _session(alice, unused=timedelta(seconds=5))
    device = await alice.connect()
    frame = await device.expect("notification", session_id=session_id)
    assert frame["metadata"] == {"event": "session_ended"}
    await device.close()


async def test_sessions_in_use_are_not_written_for_it(alice, elsewhere):
    """Only where it matters: an open session that was used within half the time is left alone."""
    device = await alice.connect()
    ack = await device.say("hello", ref="r1")
    await device.answer(ack)
    await sync_to_async(idle_sessions.mark_seen)([ack["session_id"]])
    assert (await ChatSession.objects.aget()).seen_at is None
    await device.close()
