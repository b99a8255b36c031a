"""A Redis that dies, hangs and forgets, and lines that are dead without a word: hubs come back, and know of it."""

from __future__ import annotations

import asyncio

import pytest
from channels.layers import get_channel_layer

from chat import layer_link
from chat.hub import Hub
from tests.chat.hubs import LOAD_S, RETURN_S, Ear, meet, said, speak, use, working
from tests.waiting import in_time, until

MANY = 1_000  # groups


class TestRedisComesBack:
    """Within two seconds, for a thousand groups; and who missed something is told to look."""

    @pytest.fixture(params=["dies", "hangs", "forgets"])
    def outage(self, request, over_redis):
        ways = {
            "dies": (over_redis.kill, over_redis.start),
            "hangs": (over_redis.pause, over_redis.resume),
            "forgets": (over_redis.kill, lambda: (over_redis.start(), over_redis.flush())),
        }
        return ways[request.param]

    async def test_a_thousand_groups(self, outage):
        begin, end = outage
        one, other, behind = Hub(), Hub(), []
        other.on_behind = lambda: behind.append(1)
        names = [f"g{number}" for number in range(MANY)]
        loop = asyncio.get_running_loop()
        async with working(one, other):
            ears = await meet(one, other, names)
            begin()
            await until(lambda: not one._link.is_open and not other._link.is_open, "both find the layer away")
            pauses_s = []
            for number in range(2_000):
                began = loop.time()
                one.broadcast(names[number % MANY], said("missed"))
                pauses_s.append(loop.time() - began)
            in_time(max(pauses_s), 0.1, "saying something that nobody takes")
            assert one._link._outgoing._batch._chars == 0  # nothing is kept but names
            await asyncio.to_thread(end)
            began = loop.time()
            await speak(one, names, ears, RETURN_S + LOAD_S)
            in_time(loop.time() - began, RETURN_S + LOAD_S, "being heard again")
            await until(lambda: behind, "what was missed is told", RETURN_S + LOAD_S)

    async def test_many_groups_are_joined_while_it_is_away(self, over_redis):
        one, other = Hub(), Hub()
        async with working(one, other):
            await meet(one, other, ["g"])
            over_redis.kill()
            names = [f"g{number}" for number in range(MANY)]
            ears = [Ear() for _ in names]
            for name, ear in zip(names, ears, strict=True):
                other.join(ear, name)
            await until(lambda: not other._link.is_open, "the layer is found away")
            await asyncio.to_thread(over_redis.start)
            await speak(one, names, ears, RETURN_S + LOAD_S)


class TestSomebodyElsesFault:
    async def test_a_call_that_hangs_in_the_shared_layer_holds_up_no_hub(self, over_redis):
        """The layer's calls wait for each other; the hub has a line of its own."""
        one, other = Hub(), Hub()
        async with working(one, other):
            (ear,) = await meet(one, other, ["g"])
            shard = get_channel_layer()._get_layer()._shards[0]
            async with shard._lock:
                await speak(one, ["g"], [ear], 1)

    async def test_a_subscription_that_is_dead_is_replaced(self, over_redis, log_lines):
        """Publishing works, and nothing comes: only listening to oneself finds that."""
        one, other = Hub(), Hub()
        async with working(one, other):
            (ear,) = await meet(one, other, ["g"])
            (shard,) = other._link._layer._get_layer()._shards
            shard._receive_task.cancel()
            await speak(one, ["g"], [ear], layer_link._DEAF_S + RETURN_S + LOAD_S)
        assert "chat.layer_deaf" in [line["event"] for line in log_lines]


async def test_a_core_layer_that_forgets_its_groups_is_told_again(settings, own_redis):
    """Groups are keys there, and FLUSHALL deletes them without a word."""
    use(settings, own_redis.url, "core.RedisChannelLayer", capacity=10_000)
    one, other = Hub(), Hub()
    async with working(one, other):
        (ear,) = await meet(one, other, ["g"])
        own_redis.flush()
        await speak(one, ["g"], [ear], 2 * layer_link._DEAF_S + RETURN_S + LOAD_S)
