"""The success walk: a message, its acknowledgement, its answer, on one device and on two, sent once and sent again."""

from __future__ import annotations

import asyncio
from uuid import uuid4

import pytest

from chat import push
from chat.groups import EVENT, of_session
from chat.models import ChatMessage, ChatSession, Reply
from tests.people import Device

EVERY_DELIVERY = pytest.mark.parametrize("local_delivery", [True, False], ids=["local delivery", "through the layer"])


async def _stored(session_id: str) -> list[tuple[int, str, str]]:
    messages = ChatMessage.objects.filter(session_id=session_id).order_by("seq")
    return [(message.seq, message.sender, message.content) async for message in messages]


async def test_a_message_is_acknowledged_answered_and_stored(alice):
    device = await alice.connect()
    assert device.status["session_id"] is None

    ack = await device.say("Hello there", ref="r1")
    text = await device.answer(ack["reply_id"])

    session = await ChatSession.objects.aget(pk=ack["session_id"])
    assert (session.title, session.last_seq) == ("Hello there", 2)
    assert await _stored(ack["session_id"]) == [(1, "user", "Hello there"), (2, "ai", text)]
    assert (await Reply.objects.aget(pk=ack["reply_id"])).state == "complete"
    assert (await alice.connect()).status["session_id"] == ack["session_id"]
    await device.close()


@EVERY_DELIVERY
class TestTwoDevices:
    async def test_both_see_the_message_and_the_answer(self, alice, configure, local_delivery):
        """The one that asked gets the ack, the other the message; the answer streams to both."""
        configure(local_delivery=local_delivery)
        laptop, phone = await alice.connect(), await alice.connect()
        first = await laptop.say("hello", ref="r0")
        await laptop.answer(first["reply_id"])
        await phone.send("resume", session_id=first["session_id"], last_seq=2)
        await phone.expect("resumed", top=2, recovered=True)

        ack = await laptop.say("again", ref="r1", session_id=first["session_id"])
        seen = await phone.expect("user_message", message_id=ack["message_id"])
        assert (seen["content"], seen["seq"], seen["client_ref"], seen["sender"]) == ("again", 3, "r1", "user")
        texts = await asyncio.gather(laptop.answer(ack["reply_id"]), phone.answer(ack["reply_id"]))
        assert texts[0] == texts[1] != ""
        assert [frame["type"] for frame in await laptop.rest() if "seq" in frame] == []
        assert "ack" not in [frame["type"] for frame in await phone.rest()]

    async def test_closing_one_leaves_the_other_registered(self, alice, configure, local_delivery):
        configure(local_delivery=local_delivery)
        laptop, phone = await alice.connect(), await alice.connect()
        ack = await laptop.say("/fault slow", ref="r1")
        await phone.send("resume", session_id=ack["session_id"], last_seq=1)
        await phone.expect("resumed")
        await laptop.close()
        await phone.send("stop", reply_id=ack["reply_id"], ref="s")
        await phone.expect("ack", ref="s")
        await phone.expect("ai_response", state="stopped")

    async def test_a_typing_indicator_reaches_the_others_only(self, alice, configure, local_delivery):
        configure(local_delivery=local_delivery)
        laptop, phone = await alice.connect(), await alice.connect()
        session_id = (await laptop.say("hello", ref="r0"))["session_id"]
        await phone.send("typing_indicator", session_id=session_id)
        await laptop.expect("typing_indicator", session_id=session_id, sender="user")
        assert "typing_indicator" not in [frame["type"] for frame in await phone.rest()]

    async def test_push_and_a_plain_group_send_reach_both(self, alice, configure, local_delivery):
        from channels.layers import get_channel_layer

        configure(local_delivery=local_delivery)
        laptop, phone = await alice.connect(), await alice.connect()
        session_id = (await laptop.say("hello", ref="r0"))["session_id"]
        await phone.send("resume", session_id=session_id, last_seq=1)
        await phone.expect("resumed")
        notice = {"type": "notification", "content": "done", "metadata": {"event": "export"}}
        await push.abroadcast(session_id, notice)
        await get_channel_layer().group_send(
            of_session(session_id), {"type": EVENT, "session_id": session_id, "frames": [notice]}
        )
        for device in (laptop, phone):
            for _ in range(2):
                frame = await device.expect("notification", content="done")
                assert (frame["session_id"], frame["sender"]) == (session_id, "system")

    async def test_a_group_event_of_another_shape_harms_nobody(self, alice, configure, local_delivery, failures):
        """An event typed `close`, or with a frame that is none, is recorded and delivered to nobody."""
        from channels.layers import get_channel_layer

        configure(local_delivery=local_delivery)
        device = await alice.connect()
        session_id = (await device.say("hello", ref="r0"))["session_id"]
        group = of_session(session_id)
        for event in (
            {"type": "close"},
            {"type": EVENT, "session_id": session_id, "frames": [{"type": "ack"}]},
        ):
            await get_channel_layer().group_send(group, event)
        await push.abroadcast(session_id, {"type": "notification", "content": "last", "metadata": {}})
        await device.expect("notification", content="last")
        assert [row.code for row in await failures()] == ["INVALID_FORMAT"] * 2


class TestSendingAgain:
    async def test_the_same_ref_is_stored_once(self, alice):
        device = await alice.connect()
        first = await device.say("hello", ref="r1")
        again = await device.say("hello", ref="r1")
        assert (again["duplicate"], again["message_id"]) == (True, first["message_id"])
        other = await alice.connect()
        third = await other.say("hello", ref="r1", session_id=first["session_id"])
        assert (third["duplicate"], third["seq"], third["reply_id"]) == (True, 1, first["reply_id"])
        assert await ChatSession.objects.acount() == 1
        assert await ChatMessage.objects.filter(sender="user").acount() == 1

    async def test_two_devices_at_the_same_moment_open_one_session(self, alice):
        devices = [await alice.connect() for _ in range(4)]
        acks = await asyncio.gather(*(device.say("hello", ref="same") for device in devices))
        assert len({ack["message_id"] for ack in acks}) == 1
        assert sorted(ack["duplicate"] for ack in acks) == [False, True, True, True]
        assert await ChatSession.objects.acount() == 1

    async def test_another_text_under_the_same_ref_is_refused(self, alice):
        device = await alice.connect()
        await device.say("hello", ref="r1")
        await device.send("user_message", content="something else", ref="r1")
        frame = await device.expect("error", ref="r1")
        assert (frame["error"]["code"], frame["error"]["field"]) == ("DUPLICATE_MISMATCH", "ref")

    async def test_another_person_may_use_the_same_ref(self, alice, bob):
        hers, his = await alice.connect(), await bob.connect()
        first, second = await hers.say("hello", ref="r1"), await his.say("hi", ref="r1")
        assert first["session_id"] != second["session_id"]


async def test_seq_has_no_gaps_when_many_write_at_once(alice, configure):
    configure(messages_per_minute=10_000)
    devices = [await alice.connect() for _ in range(5)]
    session_id = (await devices[0].say("first", ref="r"))["session_id"]
    await ChatSession.objects.filter(pk=session_id).aupdate(assistant_enabled=False)

    async def write(index: int) -> list[int]:
        for number in range(10):
            await devices[index].send("user_message", content="x", ref=f"{index}-{number}", session_id=session_id)
        return [(await devices[index].expect("ack", ref=f"{index}-{number}"))["seq"] for number in range(10)]

    seqs = [seq for each in await asyncio.gather(*map(write, range(5))) for seq in each]
    stored = {seq: content for seq, _, content in await _stored(session_id)}
    assert sorted(stored) == list(range(1, len(stored) + 1))
    assert len(set(seqs)) == 50


async def test_an_ended_session_can_be_read_but_not_written(alice):
    device = await alice.connect()
    ack = await device.say("hello", ref="r1")
    await device.answer(ack["reply_id"])
    await ChatSession.objects.filter(pk=ack["session_id"]).aupdate(ended_at="2026-01-01T00:00:00Z")
    await device.send("user_message", content="more", ref="r2", session_id=ack["session_id"])
    frame = await device.expect("error", ref="r2")
    assert (frame["error"]["code"], frame["error"]["actions"]) == ("SESSION_ENDED", ["new_session"])
    await device.send("resume", session_id=ack["session_id"], last_seq=0)
    assert (await device.expect("resumed"))["top"] == 2


async def test_a_session_without_assistant_stores_and_delivers_but_does_not_answer(alice):
    device = await alice.connect()
    ack = await device.say("hello", ref="r1")
    await device.answer(ack["reply_id"])
    await device.rest()
    await ChatSession.objects.filter(pk=ack["session_id"]).aupdate(assistant_enabled=False)
    second = await device.say("anybody?", ref="r2", session_id=ack["session_id"])
    assert "reply_id" not in second
    assert "loading" not in [frame["type"] for frame in await device.rest()]


class TestModels:
    async def test_a_selected_model_answers_from_then_on(self, alice):
        device = await alice.connect()
        assert [model["id"] for model in device.status["models"]] == ["demo", "demo-brief"]
        ack = await device.say("what about errors?", ref="r1", model_id="demo")
        long = await device.answer(ack["reply_id"])
        await device.send("model_select", session_id=ack["session_id"], model_id="demo-brief", ref="m")
        await device.expect("ack", ref="m")
        ack = await device.say("what about errors?", ref="r2", session_id=ack["session_id"])
        assert len(await device.answer(ack["reply_id"])) < len(long)

    async def test_an_unknown_model_is_refused_before_anything_is_stored(self, alice):
        device = await alice.connect()
        await device.send("user_message", content="hello", model_id="gpt-none", ref="r1")
        assert (await device.expect("error", ref="r1"))["error"]["code"] == "MODEL_UNKNOWN"
        assert await ChatSession.objects.acount() == 0


async def test_signing_out_ends_the_sockets_of_that_login_only(alice):
    """The tabs of the browser that signed out close with 4502; the phone, signed in by itself, goes on."""
    tab, other_tab = await alice.connect(), await alice.connect()
    phone = await (await asyncio.to_thread(alice.elsewhere)).connect()
    await asyncio.to_thread(alice.client.post, "/chat/logout/")
    for device in (tab, other_tab):
        assert await device.expect_close() == 4502
    await phone.say("still here", ref="r1")
    late = Device(alice.cookie)
    await late.open()
    assert await late.expect_close() == 4501


async def test_an_unknown_session_is_not_found_and_not_reserved(alice):
    device = await alice.connect()
    for session_id in (str(uuid4()), "no-uuid"):
        await device.send("user_message", content="hello", session_id=session_id, ref="r1")
        assert (await device.expect("error", ref="r1"))["error"]["code"] == "NOT_FOUND"
    assert await ChatSession.objects.acount() == 0
