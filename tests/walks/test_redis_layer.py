"""The hub over a real Redis: within one process, between two servers, and while Redis is away."""

from __future__ import annotations

import asyncio
import time

import pytest

from chat import push
from tests.services.databases import PEOPLE
from tests.waiting import in_time

STOP_S = 0.5  # seconds on a busy machine; 0.2 on an idle one


@pytest.fixture
def redis_layer(settings, redis_server):
    settings.REDIS_URL = redis_server.url
    settings.CHANNEL_LAYERS = {
        "default": {
            "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
            "CONFIG": {"hosts": [redis_server.url], "prefix": "test"},
        }
    }


@pytest.mark.parametrize("local_delivery", [True, False], ids=["local delivery", "through the layer"])
async def test_two_devices_share_a_conversation(redis_layer, alice, configure, local_delivery):
    configure(local_delivery=local_delivery)
    laptop, phone = await alice.connect(), await alice.connect()
    first = await laptop.say("hello", ref="r0")
    await laptop.answer(first["reply_id"])
    await phone.send("resume", session_id=first["session_id"], last_seq=2)
    await phone.expect("resumed")
    ack = await laptop.say("again", ref="r1", session_id=first["session_id"])
    await phone.expect("user_message", message_id=ack["message_id"])
    texts = await asyncio.gather(laptop.answer(ack["reply_id"]), phone.answer(ack["reply_id"]))
    assert texts[0] == texts[1] != ""
    await push.abroadcast(first["session_id"], {"type": "notification", "content": "psst", "metadata": {}})
    for device in (laptop, phone):
        await device.expect("notification", content="psst")


async def test_the_message_limit_is_shared_through_redis(redis_layer, alice, configure):
    configure(messages_per_minute=1)
    device = await alice.connect()
    await device.say("one", ref="r1")
    await device.send("user_message", content="two", ref="r2")
    assert (await device.expect("error", ref="r2"))["error"]["code"] == "TOO_MANY_REQUESTS"


class TestTwoServers:
    async def test_a_message_at_one_is_seen_at_the_other(self, start_daphne, migrated_databases, redis_server):
        """Two processes, one database, one Redis: message, answer, error and stop cross over."""
        database_url = migrated_databases.create()
        key = {
            "SECRET_KEY": "k" * 20 + "abcdefghijklmnopqrstuvwxyz0123456789",
            "CHAT_CHECKPOINT_S": "30",  # seconds; that long would a stop take that only the database tells
            "CHAT_LEASE_S": "90",
        }
        one = start_daphne(database_url, redis_url=redis_server.url, variables=key)
        two = start_daphne(database_url, redis_url=redis_server.url, variables=key)
        laptop = await one.sign_in(PEOPLE[0]).connect()
        phone = await two.sign_in(PEOPLE[0]).connect()
        browser = one.sign_in(PEOPLE[0])
        tab = await browser.connect(ws_url=two.ws_url, origin=two.origin)
        await laptop.send(type="user_message", content="hello", ref="r1")
        ack = await laptop.expect("ack", ref="r1")
        session_id = ack["session_id"]
        await laptop.expect("ai_response", state="complete")
        await phone.send(type="resume", session_id=session_id, last_seq=0)
        await phone.expect("resumed", top=2)
        # The hub joins the group behind the scenes: a frame that crosses shows that it has.
        while True:
            await laptop.send(type="typing_indicator", session_id=session_id)
            try:
                await phone.expect("typing_indicator", timeout=0.2)
                break
            except AssertionError:
                continue

        await laptop.send(type="user_message", content="/fault midstream", ref="r2", session_id=session_id)
        ack = await laptop.expect("ack", ref="r2")
        assert (await phone.expect("user_message", message_id=ack["message_id"]))["client_ref"] == "r2"
        frames = [await socket.expect("error", reply_id=ack["reply_id"]) for socket in (laptop, phone)]
        assert frames[0]["error"] == frames[1]["error"]

        await laptop.send(type="user_message", content="/fault slow", ref="r3", session_id=session_id)
        ack = await laptop.expect("ack", ref="r3")
        await phone.expect("ai_response", reply_id=ack["reply_id"])
        await phone.send(type="stop", reply_id=ack["reply_id"], ref="s")
        await phone.expect("ack", ref="s")
        asked = time.monotonic()
        for socket in (laptop, phone):
            await socket.expect("ai_response", reply_id=ack["reply_id"], state="stopped")
        in_time(time.monotonic() - asked, STOP_S, "the stop at the other process")

        # Signing out at one process closes the tab at the other; the view waits for no layer.
        await asyncio.to_thread(browser.sign_out)
        assert await tab.closed() == 4502
        await laptop.send(type="ping", ref="p")
        await laptop.expect("pong", ref="p")
        for socket in (laptop, phone):
            await socket.close()

    async def test_a_redis_that_is_away_closes_no_socket(self, start_daphne, own_redis):
        """Messages are acknowledged and answered all the while, and readiness says what is the matter."""
        server = start_daphne(redis_url=own_redis.url)
        site = server.sign_in(PEOPLE[0])
        async with await site.connect() as socket:
            await socket.expect("connection_status")
            own_redis.stop()
            await socket.send(type="user_message", content="hello", ref="r1")
            await socket.expect("ack", ref="r1", timeout=10)
            await socket.expect("ai_response", state="complete", timeout=10)
            status, body = await asyncio.to_thread(site.get_json, "/chat/readyz")
            assert (status, body["status"]) == (503, "not ready")
            assert body["checks"]["channel_layer"] != "ok"
            own_redis.start()
            await socket.send(type="user_message", content="and now?", ref="r2")
            await socket.expect("ack", ref="r2", timeout=10)
            async with asyncio.timeout(20):
                while (await asyncio.to_thread(site.get_json, "/chat/readyz"))[0] != 200:
                    pass
