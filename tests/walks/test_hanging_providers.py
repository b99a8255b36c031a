"""A provider that does not end when it is asked to: the reply ends without it, in time and once."""

from __future__ import annotations

import asyncio

import pytest

from chat import protocol, runtime
from chat.llm.demo import DemoBackend
from chat.models import Reply
from tests.waiting import until

SPEAKS = "An answer"


@pytest.fixture
def hang(monkeypatch):
    """Providers that say something, and then wait for this event before they end; those that still do are counted."""
    event = asyncio.Event()
    event.waiting = 0

    async def stream(backend, request):
        try:
            yield SPEAKS
            await asyncio.sleep(60)
        finally:
            event.waiting += 1
            while not event.is_set():
                try:
                    await event.wait()  # as a client whose close waits for its server
                except asyncio.CancelledError:
                    continue
            event.waiting -= 1

    monkeypatch.setattr(DemoBackend, "stream", stream)
    yield event
    event.set()


async def test_a_time_limit_does_not_wait_for_it(alice, configure, failures, log_lines, hang):
    configure(next_token_s=0.2)
    device = await alice.connect()
    ack = await device.say("hello", ref="r1")
    frame = await device.expect("error", reply_id=ack["reply_id"])
    assert (frame["error"]["code"], frame["content_length"]) == ("REPLY_INTERRUPTED", len(SPEAKS))
    assert hang.waiting == 1
    assert [line["reply_id"] for line in log_lines if line["event"] == "chat.provider_abandoned"] == [ack["reply_id"]]
    hang.set()
    await until(lambda: not hang.waiting, "the provider has ended")
    assert len(await failures()) == 1
    await device.close()


async def test_stopping_does_not_wait_for_it_and_frees_its_place(alice, configure, failures, hang):
    configure(max_running_replies=1)
    device = await alice.connect()
    session = {}
    for ref in ("r1", "r2"):
        ack = await device.say("hello", ref=ref, **session)
        await device.expect("ai_response", reply_id=ack["reply_id"])
        await device.send("stop", reply_id=ack["reply_id"])
        await device.expect("ai_response", reply_id=ack["reply_id"], metadata=protocol.DONE, state="stopped")
        session = {"session_id": ack["session_id"]}
    assert hang.waiting == 2
    assert await failures() == []
    await device.close()


async def test_going_down_tells_people_in_time(alice, failures, hang):
    device = await alice.connect()
    ack = await device.say("hello", ref="r1")
    await device.expect("ai_response", reply_id=ack["reply_id"])
    async with asyncio.timeout(3):
        await runtime.current().aclose(grace_s=1.2)
    frame = await device.expect("error", reply_id=ack["reply_id"])
    assert (frame["error"]["code"], frame["error"]["outcome"]) == ("REPLY_INTERRUPTED", "partial")
    assert (await Reply.objects.aget()).state == "partial"
    assert len(await failures()) == 1
    await device.close()


async def test_what_begins_while_replies_end_is_interrupted_as_well(alice, failures, hang):
    device = await alice.connect()
    first = await device.say("hello", ref="r1")
    await device.expect("ai_response", reply_id=first["reply_id"])
    ending = asyncio.create_task(runtime.current().replies.aclose(grace_s=3))
    second = await device.say("and now?", ref="r2", session_id=first["session_id"])
    for ack in (first, second):
        await device.expect_error("REPLY_INTERRUPTED", reply_id=ack["reply_id"])
    await ending
    assert len(await failures()) == 2
    await device.close()


async def test_one_that_takes_no_notice_of_its_time_is_cut_off(alice, configure, monkeypatch):
    """It goes on with the next piece instead; nothing of that is shown any more."""
    configure(first_token_s=0.2, next_token_s=0.2)
    said = []

    async def stream(backend, request):
        for word in ("too", "late"):
            try:
                await asyncio.sleep(0.4)
            except asyncio.CancelledError:
                said.append(word)
            yield word
            await asyncio.sleep(0.1)

    monkeypatch.setattr(DemoBackend, "stream", stream)
    device = await alice.connect()
    ack = await device.say("hello", ref="r1")
    error = await device.expect_error("LLM_TIMEOUT", reply_id=ack["reply_id"])
    assert (error["outcome"], said) == ("saved", ["too"])
    assert [frame for frame in device.received if frame["type"] == "ai_response"] == []
    await device.close()


async def test_one_that_fails_while_it_ends_is_stopped_all_the_same(alice, monkeypatch, failures, log_lines):
    async def stream(backend, request):
        try:
            yield SPEAKS
            await asyncio.sleep(60)
        finally:
            raise RuntimeError("canary-77f0 cannot hang up")

    monkeypatch.setattr(DemoBackend, "stream", stream)
    device = await alice.connect()
    ack = await device.say("hello", ref="r1")
    await device.expect("ai_response", reply_id=ack["reply_id"])
    await device.send("stop", reply_id=ack["reply_id"])
    await device.expect("ai_response", reply_id=ack["reply_id"], metadata=protocol.DONE, state="stopped")
    assert [line["cause"] for line in log_lines if line["event"] == "chat.provider_close_failed"] == ["RuntimeError"]
    assert await failures() == []
    await device.close()
