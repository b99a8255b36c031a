"""Two hubs, as in two processes, over a real Redis that dies, hangs and forgets; and one over the in-memory layer."""

from __future__ import annotations

import asyncio
import itertools
from contextlib import asynccontextmanager

import pytest
from channels.layers import get_channel_layer

from chat import groups, hub, layer_kinds, layer_link, protocol
from chat.encoded import Encoded
from chat.hub import Hub
from tests.waiting import in_time, until

RETURN_S = 2.0  # seconds from Redis' first answer until frames cross again
LOAD_S = 1.0  # seconds for a busy machine
MANY = 1_000  # groups
_ids = itertools.count()


class Ear:
    """A member that keeps what it hears."""

    def __init__(self) -> None:
        self.id = f"ear-{next(_ids)}"
        self.texts: list[str] = []
        self.ended: list[str] = []

    def deliver(self, frame) -> bool:
        self.texts.append(frame.text)
        return True

    def end_login(self, login_key) -> None:
        self.ended.append(login_key)

    def close(self, code) -> None:
        self.ended.append(code)

    async def hear(self, part: str, timeout_s: float = 5) -> None:
        await until(lambda: any(part in text for text in self.texts), f"{part} is heard", timeout_s)


def said(text: str) -> protocol.Notification:
    return protocol.Notification(metadata={"event": text})


@asynccontextmanager
async def working(*hubs: Hub):
    tasks = [asyncio.create_task(work) for one in hubs for work in one.work()]
    try:
        yield
    finally:
        for one in hubs:
            await one.aclose()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def use(settings, url: str, backend: str = "pubsub.RedisPubSubChannelLayer", **config) -> None:
    layer = {"BACKEND": f"channels_redis.{backend}", "CONFIG": {"hosts": [url], "prefix": "test", **config}}
    settings.CHANNEL_LAYERS = {"default": layer}


@pytest.fixture
def over_redis(settings, own_redis):
    use(settings, own_redis.url)
    return own_redis


async def meet(one: Hub, other: Hub, names: list[str]) -> list[Ear]:
    """Have `other` join these groups, and wait until what `one` says is heard in each."""
    ears = []
    for name in names:
        ear = Ear()
        other.join(ear, name)
        ears.append(ear)
    await speak(one, names, ears)
    return ears


async def speak(one: Hub, names: list[str], ears: list[Ear], timeout_s: float = 10) -> None:
    """Say something in every group that has not heard it, until all have."""
    word = f"word-{next(_ids)}"
    async with asyncio.timeout(timeout_s):
        while True:
            deaf = [name for name, ear in zip(names, ears, strict=True) if not any(word in text for text in ear.texts)]
            if not deaf:
                return
            for name in deaf:
                one.broadcast(name, said(word))
            await asyncio.sleep(0.1)


async def acquaint(*hubs: Hub, known: int | None = None) -> None:
    """Wait until each knows the others."""
    known = len(hubs) - 1 if known is None else known
    await until(lambda: all(len(one._link._peers.ids) == known for one in hubs), "the processes know each other")


def listen(one: Hub) -> tuple[list[int], list[tuple]]:
    """Return what the hub will say: that everybody may be behind, and who is."""
    behind: list[int] = []
    members: list[tuple] = []
    one.on_behind, one.on_gap = lambda: behind.append(1), members.append
    return behind, members


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


class TestWhatWasNotHeard:
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

    async def test_controls_before_the_layer_has_joined_the_group_of_all_hubs(self, over_redis, monkeypatch):
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
    async def test_a_line_that_opens_only_with_the_second_try(self, over_redis, monkeypatch, name):
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


async def test_a_core_layer_that_forgets_its_groups_is_told_again(settings, own_redis):
    """Groups are keys there, and FLUSHALL deletes them without a word."""
    use(settings, own_redis.url, "core.RedisChannelLayer", capacity=10_000)
    one, other = Hub(), Hub()
    async with working(one, other):
        (ear,) = await meet(one, other, ["g"])
        own_redis.flush()
        await speak(one, ["g"], [ear], 2 * layer_link._DEAF_S + RETURN_S + LOAD_S)


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
