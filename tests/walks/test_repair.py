"""Every device ends with the whole ordered log, whatever its outbox had no room for and the channel layer lost."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator
from typing import Any

import pytest
from channels.layers import InMemoryChannelLayer

from chat import protocol
from chat.handlers import resume
from chat.llm.demo import DemoBackend
from chat.models import ChatMessage, ChatSession
from errors.exceptions import ChatError
from errors.taxonomy import LLM_UNAVAILABLE
from tests.walks.stalled import StalledSocket

EVERY_DELIVERY = pytest.mark.parametrize("local_delivery", [True, False], ids=["local delivery", "through the layer"])


class LossyLayer(InMemoryChannelLayer):
    """Loses every third message of frames, and says nothing."""

    count = 0

    async def group_send(self, group: str, message: dict[str, Any]) -> None:
        if "frames_of" in message:
            type(self).count += 1
            if type(self).count % 3 == 0:
                return
        await super().group_send(group, message)


def check_log(frames: list[dict[str, Any]], stored: list[ChatMessage], *, own: frozenset[int] = frozenset()) -> None:
    """These frames show every stored message once and in order, and each reply's text without a gap up to its end.

    Args:
        own: Numbers of the device's own messages, which `ack` has told it.
    """
    seqs = [
        frame["seq"] for frame in frames if frame["type"] in {"user_message", "ai_response", "error"} and "seq" in frame
    ]
    assert seqs == [message.seq for message in stored if message.seq not in own]
    texts: dict[str, str] = {}
    ended: dict[str, str] = {}
    for frame in frames:
        if frame["type"] != "ai_response":
            continue
        assert frame["reply_id"] not in ended, f"goes on after its end: {frame}"
        text = texts.get(frame["reply_id"], "")
        assert frame["offset"] <= len(text), f"a gap: {frame}"
        texts[frame["reply_id"]] = text[: frame["offset"]] + frame["content"]
        if frame["metadata"]["done"] == "true":
            ended[frame["reply_id"]] = texts[frame["reply_id"]]
    assert list(ended.values()) == [message.content for message in stored if message.sender == "ai"]


async def stored_in(session_id: str) -> list[ChatMessage]:
    return [message async for message in ChatMessage.objects.filter(session_id=session_id).order_by("seq")]


@EVERY_DELIVERY
async def test_a_device_that_reads_late_gets_everything_in_order(alice, configure, local_delivery):
    """Its outbox holds eight frames; five questions with their streamed answers go by while it reads nothing."""
    configure(outbox_size=8, chunk_ms=5, local_delivery=local_delivery)
    laptop = await alice.connect()
    ack = await laptop.say("hello", ref="r0")
    await laptop.answer(ack)
    phone = await StalledSocket(alice).open()
    await phone.say(type="resume", session_id=ack["session_id"], last_seq=0)
    await phone.is_heard()
    for number in range(1, 5):
        await laptop.answer(await laptop.say(f"question {number}", ref=f"r{number}", session_id=ack["session_id"]))
    phone.may_send.set()
    await phone.until(type="ai_response", seq=10)
    await phone.close()
    check_log(phone.frames, await stored_in(ack["session_id"]))
    await laptop.close()


async def test_a_layer_that_loses_every_third_message_is_repaired(alice, configure, settings):
    """Both devices, the one that asks and the one that watches, end with the whole log; nothing comes twice."""
    settings.CHANNEL_LAYERS = {"default": {"BACKEND": "tests.walks.test_repair.LossyLayer"}}
    configure(local_delivery=False, heartbeat_s=0.2, chunk_ms=5)
    laptop, phone = await alice.connect(), await alice.connect()
    ack = await laptop.say("hello", ref="r0")
    await phone.send("resume", session_id=ack["session_id"], last_seq=0)
    await phone.expect("resumed")
    own = {ack["seq"]}
    for number in range(1, 5):
        asked = await laptop.say(f"question {number}", ref=f"r{number}", session_id=ack["session_id"])
        own.add(asked["seq"])
        for device in (laptop, phone):
            await device.expect("ai_response", reply_id=asked["reply_id"], metadata=protocol.DONE, timeout=10)
    stored = await stored_in(ack["session_id"])
    for device, known in ((laptop, own), (phone, set())):
        check_log(device.received, stored, own=frozenset(known))
        await device.close()
    assert LossyLayer.count > 10


async def test_what_another_process_says_before_the_layer_has_joined_is_shown_at_once(alice, configure, monkeypatch):
    """And not at the next heartbeat: nobody else could tell the device."""
    configure(local_delivery=False, heartbeat_s=60)
    may_join, add = asyncio.Event(), InMemoryChannelLayer.group_add

    async def slow(self: InMemoryChannelLayer, group: str, channel: str) -> None:
        await may_join.wait()
        await add(self, group, channel)

    phone = await alice.connect()
    session = await ChatSession.objects.acreate(owner_id=alice.user_id)
    monkeypatch.setattr(InMemoryChannelLayer, "group_add", slow)
    await phone.send("resume", session_id=str(session.pk), last_seq=0)
    await phone.expect("resumed")
    await ChatMessage.objects.acreate(session=session, seq=1, sender="user", content="from elsewhere")
    await ChatSession.objects.filter(pk=session.pk).aupdate(last_seq=1)
    may_join.set()
    await phone.expect("user_message", content="from elsewhere")


async def test_an_end_without_text_that_the_layer_lost_is_told(alice, configure, settings, monkeypatch):
    """The error that ends a failed reply has no number; a heartbeat finds it, and it is told once."""

    class Deaf(InMemoryChannelLayer):
        async def group_send(self, group: str, message: dict[str, Any]) -> None:
            if "frames_of" not in message:
                await super().group_send(group, message)

    monkeypatch.setattr("tests.walks.test_repair.LossyLayer", Deaf)
    settings.CHANNEL_LAYERS = {"default": {"BACKEND": "tests.walks.test_repair.LossyLayer"}}
    configure(local_delivery=False, heartbeat_s=0.2, fault_commands=True)
    laptop, phone = await alice.connect(), await alice.connect()
    ack = await laptop.say("hello", ref="r0")
    await laptop.answer(ack, timeout=10)
    await phone.send("resume", session_id=ack["session_id"], last_seq=0)
    await phone.expect("resumed")
    failing = await laptop.say("/fault unavailable", ref="r1", session_id=ack["session_id"])
    for device in (laptop, phone):
        frame = await device.expect("error", reply_id=failing["reply_id"])
        assert frame["error"]["code"] == "LLM_UNAVAILABLE"
        await device.expect("heartbeat")
        await device.expect("heartbeat")
        assert not [again for again in await device.rest() if again["type"] == "error"]
        await device.close()


class TestResumeUnderLoad:
    async def test_resumed_comes_however_full_the_outbox_is(self, alice, configure):
        """The pages are as long as there is room for; none is lost, and asking on leads to the end."""
        configure(outbox_size=4)
        session = await ChatSession.objects.acreate(owner_id=alice.user_id, last_seq=40)
        await ChatMessage.objects.abulk_create(
            ChatMessage(session=session, seq=seq, sender="user", content=f"line {seq}") for seq in range(1, 41)
        )
        phone = await StalledSocket(alice).open()
        await phone.say(type="resume", session_id=str(session.pk), last_seq=0, ref="p0")
        await phone.is_heard()
        phone.may_send.set()
        page = await phone.until(type="resumed", ref="p0")
        assert 0 < page["to"] < page["top"] == 40
        while page["to"] < page["top"]:
            ref = f"p{page['to']}"
            await phone.say(type="resume", session_id=str(session.pk), last_seq=page["to"], ref=ref)
            page = await phone.until(type="resumed", ref=ref)
        await phone.close()
        assert [frame["seq"] for frame in phone.frames if frame["type"] == "user_message"] == list(range(1, 41))

    async def test_who_does_not_ask_on_gets_the_rest_all_the_same(self, alice, configure, monkeypatch):
        monkeypatch.setattr("chat.connection._TURN_S", 0.1)
        configure(resume_page=5)
        session = await ChatSession.objects.acreate(owner_id=alice.user_id, last_seq=12)
        await ChatMessage.objects.abulk_create(
            ChatMessage(session=session, seq=seq, sender="user", content=f"line {seq}") for seq in range(1, 13)
        )
        device = await alice.connect()
        await device.send("resume", session_id=str(session.pk), last_seq=0)
        assert (await device.expect("resumed"))["to"] == 5
        await device.expect("user_message", seq=12)
        assert [frame["seq"] for frame in await device.rest() if frame["type"] == "user_message"] == list(range(1, 12))
        await device.close()

    async def test_an_answer_that_no_frame_can_hold_comes_in_several(self, alice, configure):
        """Written as JSON escapes it has six times as many bytes as characters; none of its frames is over 1 MiB."""
        configure(outbox_chars=10_000)
        content = "\x01" * 150_000 + "😀" * 100_001
        session = await ChatSession.objects.acreate(owner_id=alice.user_id, last_seq=3)
        for seq, text in enumerate(("before", content, "after"), start=1):
            await ChatMessage.objects.acreate(session=session, seq=seq, sender="ai", content=text)
        device = await alice.connect()
        last = 0
        while last < 3:
            await device.send("resume", session_id=str(session.pk), last_seq=last, ref=f"from-{last}")
            last = (await device.expect("resumed", ref=f"from-{last}"))["to"]
        frames = [frame for frame in device.received if frame["type"] == "ai_response"]
        assert [frame.get("seq") for frame in frames] == [1, None, None, 2, 3]
        assert [frame["offset"] for frame in frames] == [0, 0, 100_000, 200_000, 0]
        assert "".join(frame["content"] for frame in frames[1:4]) == content
        assert max(len(json.dumps(frame, ensure_ascii=False).encode()) for frame in frames) < 1_000_000
        await device.close()

    async def test_a_reply_that_ends_while_the_page_is_read_is_not_shown_as_running(self, alice, monkeypatch):
        """What is read says that it runs; when it is sent, the end was broadcast. One end, and nothing after it."""
        may_end, has_ended = threading.Event(), threading.Event()

        async def stream(self: Any, request: Any) -> AsyncIterator[str]:
            yield "An answer"
            await asyncio.to_thread(may_end.wait, 10)

        read = resume._read

        def slow_read(*args: Any) -> Any:
            page = read(*args)
            may_end.set()
            assert has_ended.wait(10)
            return page

        monkeypatch.setattr(DemoBackend, "stream", stream)
        monkeypatch.setattr(resume, "_read", slow_read)
        laptop, phone = await alice.connect(), await alice.connect()
        ack = await laptop.say("hello", ref="r1")
        await laptop.expect("ai_response", reply_id=ack["reply_id"])
        await phone.send("resume", session_id=ack["session_id"], last_seq=0)
        assert await _rest_of(laptop, ack) == ""
        has_ended.set()
        await phone.expect("ai_response", seq=2)
        frames = await phone.rest()
        assert not [frame for frame in frames if frame["type"] == "error"]
        check_log(phone.received, await stored_in(ack["session_id"]))
        for device in (laptop, phone):
            await device.close()


async def _rest_of(device: Any, ack: dict[str, Any]) -> str:
    """The end of a reply whose beginning was read."""
    end = await device.expect("ai_response", reply_id=ack["reply_id"])
    assert end["metadata"]["done"] == "true"
    return str(end["content"])


async def test_a_failure_while_another_device_is_behind_is_told_to_both_once(alice, configure, monkeypatch):
    configure(outbox_size=4, chunk_ms=5)

    async def stream(self: Any, request: Any) -> AsyncIterator[str]:
        for number in range(30):
            yield f"{number} "
            await asyncio.sleep(0.01)
        raise ChatError(LLM_UNAVAILABLE)

    laptop = await alice.connect()
    ack = await laptop.say("hello", ref="r0")
    await laptop.answer(ack)
    phone = await StalledSocket(alice).open()
    await phone.say(type="resume", session_id=ack["session_id"], last_seq=2)
    await phone.is_heard()
    monkeypatch.setattr(DemoBackend, "stream", stream)
    failing = await laptop.say("and now?", ref="r1", session_id=ack["session_id"])
    told = await laptop.expect("error", reply_id=failing["reply_id"])
    phone.may_send.set()
    end = await phone.until(seq=told["seq"])
    assert (end["reply_id"], end["content_length"]) == (failing["reply_id"], told["content_length"])
    error = end.get("error") or end["reply"]["error"]
    assert error["reference"] == told["error"]["reference"]
    await phone.close()
    await laptop.close()
