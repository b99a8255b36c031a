"""Two hubs, as in two processes, over a real Redis; and one over the in-memory layer."""

from __future__ import annotations

import asyncio

from channels.layers import get_channel_layer

from chat import groups, hub, layer_kinds
from chat.encoded import Encoded
from chat.hub import Hub
from tests.chat.hubs import Ear, acquaint, listen, meet, said, working
from tests.waiting import until


class TestTwoProcesses:
    async def test_frames_arrive_once_in_order_and_not_at_who_is_left_out(self, over_redis):
        one, other = Hub(), Hub()
        async with working(one, other):
            (ear,) = await meet(one, other, ["g"])
            here, left_out = Ear(), Ear()
            one.join(here, "g")
            one.join(left_out, "g")
            ear.texts.clear()
            for number in range(200):
                one.broadcast("g", said(f"n{number}."), except_for=left_out)
            await ear.hear("n199.")
            for each in (ear, here):
                assert [f'"n{number}."' in text for number, text in enumerate(each.texts)] == [True] * 200
            assert left_out.texts == []

    async def test_a_busy_moment_is_few_layer_messages(self, over_redis, monkeypatch):
        """1 000 frames in 100 groups: as many layer messages as milliseconds, not as frames."""
        one, other = Hub(), Hub()
        names = [f"g{number}" for number in range(100)]
        async with working(one, other):
            ears = await meet(one, other, names)
            sent, real = [], one._link._send

            async def send(group, event):
                sent.append(group)
                await real(group, event)

            monkeypatch.setattr(one._link, "_send", send)
            for number in range(10):
                for name in names:
                    one.broadcast(name, said(f"n{number}."))
            for ear in ears:
                await ear.hear("n9.")
            assert len([group for group in sent if not group.startswith("chat.hub.")]) <= 3

    async def test_controls_cross(self, over_redis):
        one, other = Hub(), Hub()
        stopped, changed = [], []
        other.on_stop, other.on_access_changed = stopped.append, changed.append
        async with working(one, other):
            (ear,) = await meet(one, other, ["g"])
            one.control(groups.HUBS, hub.STOP, "a-reply")
            one.control("g", hub.SIGNED_OUT, "a-login")
            one.control("g", hub.ACCESS_CHANGED)
            await until(lambda: changed, "the change is told")
            assert (stopped, ear.ended, changed) == (["a-reply"], ["a-login"], [(ear,)])


async def test_an_event_that_makes_no_sense_is_recorded_and_the_next_one_heard(over_redis, failures, transactional_db):
    one, ear = Hub(), Ear()
    group = groups.of_session("s")
    async with working(one):
        one.join(ear, group)
        await until(lambda: group in one._link.membership.joined, "the group is joined")
        channel = one._link._channel
        for nonsense in (
            {"hello": True},
            {"beat": 1, "origin": []},
            {"origin": 7},
            {"frames_of": 1},
            {"controls": [1]},
        ):
            await get_channel_layer().group_send(group, {"type": groups.EVENT, **nonsense})
        frame = {"type": "notification", "metadata": {"event": "still here"}}
        await get_channel_layer().group_send(group, {"type": groups.EVENT, "session_id": "s", "frames": [frame]})
        await ear.hear("still here")
        assert len(await failures()) == 5
        assert one._link._channel == channel


class TestThroughTheLayer:
    """Without local delivery: what counts as told is what the layer brought back."""

    async def test_what_came_back_is_counted(self, over_redis, configure):
        configure(local_delivery=False)
        one, ears = Hub(), [Ear(), Ear()]
        async with working(one):
            for ear in ears:
                one.join(ear, "g")
            await until(lambda: "g" in one._link.membership.joined, "the group is joined")
            assert (await one.tell("g", said("x"))).deliveries == 2

    async def test_what_did_not_is_not(self, over_redis, configure, monkeypatch):
        configure(local_delivery=False)
        monkeypatch.setattr(hub, "_ECHO_S", 0.3)
        one, ear = Hub(), Ear()
        async with working(one):
            one.join(ear, "g")
            await until(lambda: "g" in one._link.membership.joined, "the group is joined")
            over_redis.pause()
            assert (await one.tell("g", said("x"))).deliveries == 0
            over_redis.resume()

    async def test_who_is_here_is_looked_after_when_one_call_fails(self, over_redis, configure, monkeypatch):
        """Others are told with the next call, and that word is not for ourselves; the line never counts as down."""
        configure(local_delivery=False)
        one, other, ear = Hub(), Hub(), Ear()
        async with working(one, other):
            await acquaint(one, other)
            await meet(other, one, ["g"])
            (far,) = await meet(one, other, ["g"])
            one.join(ear, "g")
            _, members = listen(one)
            _, others = listen(other)
            send = one._link._send

            async def fail_once(group, event):
                if "frames_of" in event:
                    monkeypatch.setattr(one._link, "_send", send)
                    raise ConnectionError
                await send(group, event)

            monkeypatch.setattr(one._link, "_send", fail_once)
            one.broadcast("g", said("lost"))
            await until(lambda: members and others, "both sides look")
            assert ear in members[0]
            assert not any("lost" in text for text in (*ear.texts, *far.texts))

    async def test_while_the_line_is_down_who_is_here_is_told_at_once(self, over_redis, configure):
        configure(local_delivery=False)
        one, ear = Hub(), Ear()
        async with working(one):
            one.join(ear, "g")
            over_redis.kill()
            await until(lambda: not one._link.is_open, "the layer is found away")
            assert (await one.tell("g", said("x"))).deliveries == 1


class Broken(Ear):
    """Whoever delivers to it raises."""

    def deliver(self, frame) -> bool:
        raise KeyError("a defect")


async def test_a_member_that_raises_takes_no_other_with_it(failures, transactional_db):
    """It is recorded once and closed: it comes back and resumes. Who spoke hears nothing of it."""
    one, ears, broken = Hub(), [Ear(), Ear()], Broken()
    for member in (ears[0], broken, ears[1]):
        one.join(member, "g")
    for number in range(3):
        delivery = one.broadcast("g", said(f"n{number}."))
        assert (delivery.deliveries, delivery.drops) == (2, 1 if number == 0 else 0)
    assert [len(ear.texts) for ear in ears] == [3, 3]
    assert broken.ended == [4400]
    (row,) = await failures()
    assert (row.connection_id, row.code) == (broken.id, "SERVICE_ERROR")
    await one.aclose()


class TestInMemory:
    async def test_nothing_is_published_for_nobody(self, settings, monkeypatch):
        layer, sent = get_channel_layer(), []
        monkeypatch.setattr(type(layer), "group_send", lambda self, *sent_: sent.append(sent_))
        one, ear = Hub(), Ear()
        async with working(one):
            one.join(ear, "g")
            one.broadcast("g", said("x"))
            await until(lambda: one._link.membership.joined >= {"g"}, "the group is joined")
        assert len(ear.texts) == 1
        assert sent == []

    async def test_an_event_from_outside_reaches_the_members(self):
        one, ear = Hub(), Ear()
        group = groups.of_session("s")
        async with working(one):
            one.join(ear, group)
            await until(lambda: group in one._link.membership.joined, "the group is joined")
            frame = {"type": "notification", "metadata": {"event": "x"}}
            await get_channel_layer().group_send(group, {"type": groups.EVENT, "session_id": "s", "frames": [frame]})
            await ear.hear('"x"')

    async def test_a_membership_that_ran_out_is_renewed(self, monkeypatch):
        """The layer forgets members after a day, and those that stood still for a minute."""
        monkeypatch.setattr(layer_kinds, "_REJOIN_LOCAL_S", 0.1)
        one, ear = Hub(), Ear()
        group = groups.of_session("s")
        layer = get_channel_layer()
        async with working(one):
            one.join(ear, group)
            await until(lambda: group in one._link.membership.joined, "the group is joined")
            layer.groups.clear()
            await until(lambda: layer.groups.get(group), "the layer has the group")

    async def test_an_echo_that_comes_when_its_time_is_just_over_is_heard_like_any_event(self):
        """What travels in the same layer message is delivered, too."""
        one, ear = Hub(), Ear()
        one.join(ear, "g")
        one._echoes[7] = echo = asyncio.get_running_loop().create_future()
        echo.cancel()
        packed = [[Encoded.of(said(word)).pack(), None, 7] for word in ("first", "second")]
        one._on_any_event({"frames_of": {"g": packed}, "origin": one.id})
        assert len(ear.texts) == 2
        await one.aclose()
