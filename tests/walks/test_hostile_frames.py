"""Strict decode: whatever a client sends, it gets one answer that names the fault, and the socket goes on."""

from __future__ import annotations

import json
from typing import Any, get_args

import pytest

from chat import protocol
from chat.models import ChatMessage, ChatSession
from tests.walks.hostile_frames import (
    ESCAPED_EMOJI,
    GROUPS,
    LIMIT,
    MESSAGES,
    NOBODYS,
    REQUIRED,
    SERVER_ONLY,
    SESSION,
    WHOLE,
    Case,
    padded,
    typed,
)


def test_the_tables_speak_of_every_type_there_is():
    inbound = {str(kind.__struct_config__.tag) for kind in protocol.INBOUND}
    outbound = {str(kind.__struct_config__.tag) for kind in get_args(protocol.Frame)}
    assert inbound == set(MESSAGES) == set(REQUIRED)
    assert outbound - inbound == set(SERVER_ONLY)


@pytest.fixture
async def session_id(alice) -> str:
    """A session of alice's in which nothing is answered."""
    return str((await ChatSession.objects.acreate(owner_id=alice.user_id, title="kept", assistant_enabled=False)).pk)


@pytest.mark.parametrize("group", GROUPS)
async def test_a_hostile_frame_gets_one_answer_and_changes_nothing(alice, configure, failures, session_id, group):
    """One `error` that names the code and the field, nothing stored, one record; the next message works."""
    configure(messages_per_minute=1_000, heartbeat_s=600)  # a heartbeat is no answer
    cases = GROUPS[group]
    device = await alice.connect()
    answers, expected = {}, {}
    for number, (name, case) in enumerate(cases.items(), start=1):
        if isinstance(case.frame, bytes):
            await device.send_bytes(case.frame)
        else:
            await device.send_text(case.frame.replace(SESSION, session_id))
        frames = [frame for frame in await device.rest() if frame["type"] != "notification"]  # news for the list
        answers[name] = [(f["type"], f["error"]["code"], f["error"].get("field"), *_echo(f, case)) for f in frames]
        expected[name] = [
            ("error", case.code, case.field, *_echo({"ref": "r1", "session_id": session_id}, case, case.echo))
        ]
        for answer in frames:
            assert (answer["sender"], answer["error"]["outcome"]) == ("system", "rejected")
            assert (answer["error"]["category"], answer["error"]["recoverable"]) == ("validation", True)
        ack = await device.say("still there?", ref=f"next-{number}", session_id=session_id)
        assert ack["seq"] == number, f"something was stored for {name}"
    assert answers == expected
    assert await ChatSession.objects.acount() == 1
    assert await ChatMessage.objects.acount() == len(cases)
    rows = await failures()
    assert [(row.code, row.field, row.stage, row.deliveries) for row in rows] == [
        (case.code, case.field or "", "receive", 1) for case in cases.values()
    ]
    assert {row.message_type for row in rows} <= {"unparsed", *MESSAGES, *(word for word in (*SERVER_ONLY, *NOBODYS))}
    await device.close()


def _echo(answer: dict[str, Any], case: Case, keys: tuple[str, ...] = WHOLE) -> list[Any]:
    """The ref and session id of an answer; the one that is itself at fault may be there or not."""
    return [answer.get(key) if key in keys else None for key in WHOLE if key != case.field]


class TestWhatIsAccepted:
    @pytest.mark.parametrize("letter", ["a", "é", "😀"])
    async def test_a_frame_of_exactly_the_limit(self, alice, letter):
        device = await alice.connect()
        await device.send_text(padded(LIMIT, letter))
        assert (await device.expect("pong"))["ref"] == "r1"
        await device.close()

    @pytest.mark.parametrize("is_escaped", [False, True])
    async def test_ten_thousand_emoji(self, alice, session_id, is_escaped):
        """Lengths are characters, however many bytes they take on the wire."""
        device = await alice.connect()
        letters = (ESCAPED_EMOJI if is_escaped else "😀") * 10_000
        await device.send_text(typed(f'"{letters}"', key="content").replace(SESSION, session_id))
        ack = await device.expect("ack", ref="r1")
        assert (await ChatMessage.objects.aget(pk=ack["message_id"])).content == "😀" * 10_000
        await device.close()

    async def test_whatever_the_protocol_does_not_know_is_skipped(self, alice, session_id):
        """A client chooses neither the sender nor the time, and cannot smuggle a field that is the server's."""
        device, other = await alice.connect(), await alice.connect()
        await other.send("typing_indicator", session_id=session_id)
        claims = {
            "sender": "admin", "timestamp": "1970-01-01T00:00:00Z", "seq": 99, "message_id": "forged",
            "client_ref": "x", "duplicate": True, "user_id": "1", "error": {"code": "X"},
            "unknown": {"deep": [None, {"a": "\x00"}]},
        }  # fmt: skip
        sent = {"type": "user_message", "ref": "r1", "session_id": session_id, "content": "hi", **claims}
        await device.send_text(json.dumps(sent)[:-1] + ', "huge": ' + "9" * 5_000 + "}")
        ack = await device.expect("ack", ref="r1")
        shown = await other.expect("user_message")
        stored = await ChatMessage.objects.aget(pk=ack["message_id"])
        assert (shown["sender"], stored.sender, shown["client_ref"]) == ("user", "user", "r1")
        assert (shown["seq"], shown["message_id"]) == (1, ack["message_id"])
        assert "1970" not in shown["timestamp"] + str(stored.created_at)
        assert not shown.keys() & {"unknown", "huge", "error", "user_id", "duplicate"}
        for each in (device, other):
            await each.close()

    async def test_the_largest_integers_and_the_longest_texts(self, alice, session_id):
        device = await alice.connect()
        metadata = {"a": 2**53, "b": -(2**53), "c": 1.5, "d": None, "e": True, "k" * 64: "v" * 500}
        longest = {"content": "c" * 10_000, "metadata": metadata, "session_id": session_id}
        ack = await device.say(ref="r" * 64, **longest)
        assert (await ChatMessage.objects.aget(pk=ack["message_id"])).metadata == metadata
        await device.send("resume", session_id=session_id, last_seq=2**53)
        await device.expect("resumed")
        await device.close()
