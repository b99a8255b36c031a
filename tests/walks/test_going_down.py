"""Going down within one process; real servers and their signals are in tests/faults/test_drain.py."""

from __future__ import annotations

import asyncio

from chat import runtime
from chat.models import Reply
from tests.people import Device


async def test_who_waits_for_a_place_is_sent_away(alice, monkeypatch):
    """Redis takes its time to count the connection, and the process began to go down meanwhile."""
    current = runtime.current()
    take = current.leases.take
    is_waiting, may_have = asyncio.Event(), asyncio.Event()

    async def slow(user_id):
        is_waiting.set()
        await may_have.wait()
        return await take(user_id)

    monkeypatch.setattr(current.leases, "take", slow)
    late = Device(alice.cookie)
    opening = asyncio.create_task(late.open())
    await is_waiting.wait()
    going = asyncio.create_task(current.drain(closes_s=3))
    await asyncio.sleep(0.1)  # everybody who could be told has been told, and closed
    may_have.set()
    await opening
    await late.expect("goodbye", reason="restarting")
    assert await late.expect_close() == 4000
    assert late.received[0]["type"] == "goodbye"
    await late.close()
    await going
    assert (current.connections, dict(current.leases._here)) == ({}, {})


async def test_asked_twice(alice):
    """At the same time and afterwards: the second one waits for the first, and changes nothing."""
    device = await alice.connect()
    current = runtime.current()
    going = [asyncio.create_task(current.drain(closes_s=0.2)) for _ in range(2)]
    assert await device.expect_close() == 4000
    await device.close()
    await asyncio.gather(*going)
    await current.aclose()
    assert [frame["type"] for frame in device.received].count("goodbye") == 1


async def test_going_down_tells_everybody_and_keeps_the_text(alice, configure, failures):
    """`goodbye`, the running answer interrupted, close 4000; then nothing of the runtime is left."""
    configure(fault_commands=True)
    device = await alice.connect()
    ack = await device.say("/fault slow", ref="r1")
    await device.expect("ai_response", reply_id=ack["reply_id"])
    before = asyncio.all_tasks()

    await runtime.current().aclose(grace_s=5)

    goodbye = await device.expect("goodbye")
    assert (goodbye["reason"], goodbye["reconnect_in"] > 0) == ("restarting", True)
    frame = await device.expect("error", reply_id=ack["reply_id"])
    assert (frame["error"]["code"], frame["error"]["outcome"]) == ("REPLY_INTERRUPTED", "partial")
    assert await device.expect_close() == 4000
    assert (await Reply.objects.aget(pk=ack["reply_id"])).state == "partial"
    await device.close()
    left = {task.get_coro().__qualname__ for task in asyncio.all_tasks() & before}
    assert not {name for name in left if name.startswith(("Hub.", "Replies.", "Runtime.", "ReplyStream."))}
