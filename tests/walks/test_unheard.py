"""What another process said and the layer did not bring here: the database is asked at once, and not in its turn."""

from __future__ import annotations

import asyncio

from django.contrib.auth import get_user_model

from chat import runtime
from chat.llm.demo import DemoBackend


async def test_an_account_that_was_closed(alice):
    tab = await alice.connect()
    await get_user_model().objects.filter(pk=alice.user_id).aupdate(is_active=False)
    runtime.current().hub.on_behind()
    await tab.expect_error("EXPIRED_TOKEN", timeout=5)
    assert await tab.expect_close() == 4502


async def test_a_reply_that_is_to_stop(alice, configure, monkeypatch):
    configure(checkpoint_s=60, lease_s=180)

    async def stream(backend, request):
        yield "An answer"
        await asyncio.sleep(60)

    monkeypatch.setattr(DemoBackend, "stream", stream)
    device = await alice.connect()
    ack = await device.say("hello", ref="r1")
    await device.expect("ai_response", reply_id=ack["reply_id"])
    await runtime.current().journal.request_stop(ack["reply_id"])
    runtime.current().hub.on_behind()
    await device.expect("ai_response", reply_id=ack["reply_id"], state="stopped", timeout=5)
    await device.close()
