"""What a hub was not told: it notices, and has its members looked after."""

from __future__ import annotations

import asyncio

import pytest

from chat import groups, hub, layer_kinds
from chat.hub import Hub
from tests.chat.hubs import Ear, acquaint, listen, meet, said, speak, working
from tests.waiting import until


class TestFrames:
    """Three processes: with two, each would send the other everything, whatever its groups."""

    @pytest.fixture
    async def three(self, over_redis):
        async with working(*(hubs := [Hub() for _ in range(3)])):
            await acquaint(*hubs)
            yield hubs

    async def test_a_dead_subscription_that_is_replaced(self, three, log_lines):
        """It is replaced before the line counts as down: frames are lost all the same, and members are shown them."""
        one, other, _ = three
        (ear,) = await meet(one, other, ["g"])
        behind, members = listen(other)
        (shard,) = other._link._layer._get_layer()._shards
        shard._receive_task.cancel()
        one.broadcast("g", said("lost"))
        await until(lambda: behind and members, "everybody is looked after, and who is in the group once it is joined")
        assert members == [(ear,)]
        events = [line["event"] for line in log_lines]
        assert "chat.layer_deaf" in events
        assert "chat.layer_silent" not in events

    async def test_a_subscription_that_breaks_for_a_moment(self, three, over_redis, log_lines):
        """The client library repairs it and says nothing; a beat that is missing among the others tells."""
        one, other, _ = three
        await meet(one, other, ["g"])
        behind, _ = listen(other)
        layer, lost = other._link._layer._get_layer(), []
        hear = layer._shards[0]._receive_message

        def lose_a_beat(message):
            if message is not None and other.id.encode() in message["channel"] and not lost:
                lost.append(message)
            else:
                hear(message)

        layer._shards[0]._receive_message = lose_a_beat
        await until(lambda: behind, "everybody is looked after")
        assert {"chat.layer_deaf", "chat.layer_silent"}.isdisjoint(line["event"] for line in log_lines)

    async def test_what_is_said_before_the_layer_has_joined_the_group(self, three, monkeypatch):
        """A busy Redis, or a thousand groups after a deploy: whoever is in the group by then is looked after."""
        one, other, _ = three
        _, members = listen(other)
        may_join, added = asyncio.Event(), []
        layer = other._link._layer
        add = layer.group_add

        async def slow(group, channel):
            await may_join.wait()
            await add(group, channel)
            added.append(group)

        monkeypatch.setattr(layer, "group_add", slow)
        ears = [Ear(), Ear()]
        for ear in ears:
            other.join(ear, "g")
        one.broadcast("g", said("lost"))
        await asyncio.sleep(0.1)
        may_join.set()
        await until(lambda: members, "the members are looked after")
        assert members == [tuple(ears)]
        other.join(Ear(), "g")  # what it needs to hear comes already
        other._link.membership.renew()
        await until(lambda: added.count("g") == 2, "the group is joined again")
        await speak(one, ["g"], ears[:1])
        assert members == [tuple(ears)]

    async def test_what_two_said_to_each_other_while_they_did_not_know_of_a_third(self, over_redis, monkeypatch):
        one, other, third, ear = Hub(), Hub(), Hub(), Ear()
        may_greet, send = asyncio.Event(), third._link._send

        async def shy(group, event):
            if "hello" in event and not may_greet.is_set():
                return  # lost on the way
            await send(group, event)

        monkeypatch.setattr(third._link, "_send", shy)
        async with working(one, other, third):
            third.join(ear, "g")
            await acquaint(one, other, known=1)
            await until(lambda: "g" in third._link.membership.joined, "the third process has the group")
            behind, _ = listen(third)
            one.broadcast("g", said("lost"))
            await asyncio.sleep(0.1)
            assert (ear.texts, behind) == ([], [])
            may_greet.set()
            await until(lambda: behind, "the third process is told to look")


class TestAnything:
    """Frames of any group, and controls."""

    async def test_before_the_layer_has_joined_the_group_of_all_hubs(self, over_redis, monkeypatch):
        """It joins when it is asked again; beats come back meanwhile, and the line never counts as down."""
        one, other = Hub(), Hub()
        layer = other._link._layer = layer_kinds.open_own()
        may_join, add = asyncio.Event(), layer.group_add

        async def refuse(group, channel):
            if group == groups.HUBS and not may_join.is_set():
                raise ConnectionError
            await add(group, channel)

        monkeypatch.setattr(layer, "group_add", refuse)
        stopped = []
        other.on_stop = stopped.append
        async with working(one, other):
            await meet(one, other, ["g"])
            behind, _ = listen(other)
            one.control(groups.HUBS, hub.STOP, "unheard")
            await asyncio.sleep(0.1)
            assert (stopped, behind) == ([], [])
            may_join.set()
            await until(lambda: behind, "everything is looked at")
            one.control(groups.HUBS, hub.STOP, "heard")
            await until(lambda: stopped == ["heard"], "controls arrive")

    @pytest.mark.parametrize("name", ["new_channel", "group_send"])
    async def test_before_a_line_that_opens_only_with_the_second_try(self, over_redis, monkeypatch, name):
        """Whoever is here was told of nothing until then."""
        one = Hub()
        behind, _ = listen(one)
        layer = one._link._layer = layer_kinds.open_own()
        real, has_failed = getattr(layer, name), []

        async def fail_once(*arguments):
            if not has_failed:
                has_failed.append(1)
                raise ConnectionError
            return await real(*arguments)

        monkeypatch.setattr(layer, name, fail_once)
        async with working(one):
            await until(lambda: behind, "everything is looked at")

    async def test_a_control_that_could_not_be_published(self, over_redis, monkeypatch):
        """The next call works. What the control was about is not repeated: every process looks."""
        one, other = Hub(), Hub()
        async with working(one, other):
            (ear,) = await meet(one, other, ["g"])
            behind, _ = listen(other)
            send = one._link._send

            async def fail_once(group, event):
                if "controls" in event:
                    monkeypatch.setattr(one._link, "_send", send)
                    raise ConnectionError
                await send(group, event)

            monkeypatch.setattr(one._link, "_send", fail_once)
            one.control("g", hub.SIGNED_OUT, "a-login")
            await until(lambda: behind, "everything is looked at")
            assert ear.ended == []
