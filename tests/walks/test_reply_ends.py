"""The end of a reply while the database is away: told once, in time, and stored as it was told."""

from __future__ import annotations

import asyncio
import gc
import threading

import pytest
from django.db import OperationalError

from chat import protocol, reply_ends, runtime
from chat.llm.demo import DemoBackend
from chat.models import Reply
from chat.reply_jobs import EndReply
from errors.exceptions import ChatError
from errors.taxonomy import LLM_UNAVAILABLE
from tests.chat.locks import nobody_else_writes
from tests.waiting import until
from tests.walks.refused_texts import texts_refused


async def test_an_end_that_cannot_be_stored_is_told_once_and_stored_when_that_is_possible(alice, configure, failures):
    configure(end_patience_s=0.3, database_timeout_s=0.5)
    device = await alice.connect()
    ack = await device.say("hello", ref="r1")
    await device.expect("ai_response", reply_id=ack["reply_id"])
    async with nobody_else_writes():
        told = await device.expect("error", reply_id=ack["reply_id"], timeout=15)
        assert told["error"]["code"] == "DATABASE_ERROR"
        assert "seq" not in told

    later = await alice.connect()
    async with asyncio.timeout(10):
        while True:
            await later.send("resume", session_id=ack["session_id"], last_seq=0, ref="look")
            await later.expect("resumed", ref="look")
            ends = [frame for frame in later.received if frame["type"] == "ai_response" and frame.get("seq") == 2]
            if ends:
                break
            await asyncio.sleep(0.05)  # more often would be a flood
    assert ends[-1]["reply"]["error"]["reference"] == told["error"]["reference"]
    assert ends[-1]["state"] == "partial"
    assert [row.reference for row in await failures()] == [told["error"]["reference"]]
    await device.close()
    await later.close()


@pytest.mark.parametrize("text", ["", "An answer"], ids=["without text", "with text"])
async def test_who_comes_before_a_late_end_is_stored_hears_of_it_then(alice, configure, monkeypatch, failures, text):
    """It is shown a reply that runs, as the database has it; the others were told already, and are told once."""
    configure(end_patience_s=0.3, database_timeout_s=0.5, heartbeat_s=60)
    goes_on = asyncio.Event()

    async def stream(backend, request):
        yield text
        await goes_on.wait()
        raise ChatError(LLM_UNAVAILABLE)

    monkeypatch.setattr(DemoBackend, "stream", stream)
    device = await alice.connect()
    ack = await device.say("hello", ref="r1")
    async with nobody_else_writes():
        goes_on.set()
        told = await device.expect("error", reply_id=ack["reply_id"], timeout=15)
        phone = await alice.connect()
        await phone.send("resume", session_id=ack["session_id"], last_seq=0)
        await phone.expect("resumed")
        await phone.expect("loading", reply_id=ack["reply_id"])
    while True:
        end = await phone.expect("ai_response" if text else "error", reply_id=ack["reply_id"])
        if not text or end["metadata"] == protocol.DONE:
            break
    assert (end["reply"] if text else end)["error"] == told["error"]
    await device.rest()
    assert [frame["type"] for frame in device.received].count("error") == 1
    assert len(await failures()) == 1
    await device.close()
    await phone.close()


async def test_an_end_whose_text_the_database_refuses_is_told_once_and_is_nobodys_orphan(alice, configure, failures):
    """No database that is well refuses a text: a trigger does, as a constraint of a deployment's own would."""
    configure(lease_s=1, checkpoint_s=0.3)
    device = await alice.connect()
    async with texts_refused():
        ack = await device.say("hello", ref="r1")
        told = await device.expect("error", reply_id=ack["reply_id"], timeout=15)
        assert told["error"]["code"] == "DATABASE_ERROR"
        assert told["error"]["outcome"] == "saved"  # the question; nothing of the answer
        reply = await Reply.objects.aget(pk=ack["reply_id"])
        assert (reply.state, reply.text, reply.error["reference"]) == ("failed", "", told["error"]["reference"])
        assert reply.error == told["error"]
        assert reply.total_ms is not None
        await asyncio.sleep(1.2)  # the lease of a reply without an end would be over
        assert await runtime.current().journal.claim_orphans() == []
    assert [(row.reference, row.outcome) for row in await failures()] == [(told["error"]["reference"], "saved")]
    await device.close()


async def test_an_end_that_fails_when_nobody_waits_for_it_any_more_is_no_second_failure(
    alice, configure, monkeypatch, caplog, failures
):
    """The database hangs with it in its hands for longer than people wait, and then it fails."""
    configure(end_patience_s=0.2, database_timeout_s=0.5, checkpoint_s=30, lease_s=90)
    monkeypatch.setattr(reply_ends, "_HANGING_S", 0.3)
    goes_on, real = threading.Event(), EndReply.run
    tried = []

    def hang_and_fail(job, batch):
        tried.append(job)
        if job is tried[0]:
            assert goes_on.wait(20)
            raise OperationalError("the connection is gone")
        return real(job, batch)

    monkeypatch.setattr(EndReply, "run", hang_and_fail)
    device = await alice.connect()
    ack = await device.say("hello", ref="r1")
    await device.expect("error", reply_id=ack["reply_id"], timeout=20)
    goes_on.set()
    await until(lambda: len(tried) > 1 and tried[0].future.done(), "the first end has failed, the second is tried")
    await asyncio.sleep(0)
    tried.clear()
    gc.collect()
    assert [record.getMessage() for record in caplog.records if record.name == "asyncio"] == []
    assert len(await failures()) == 1
    await device.close()
