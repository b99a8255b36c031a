"""I8: nobody reads, writes or disturbs a session that is not theirs, by any message type or address."""

from __future__ import annotations

import asyncio
import functools
import uuid
from dataclasses import dataclass
from typing import Any

import pytest
from asgiref.sync import sync_to_async

from chat import protocol, runtime, sessions
from chat.api import api
from chat.llm import demo
from chat.models import ChatMessage, ChatSession, Reply
from errors.exceptions import ChatError

both_ways = pytest.mark.parametrize("local_delivery", [True, False], ids=["local delivery", "through the layer"])


@dataclass(frozen=True)
class Conversation:
    """What of alice's somebody could have got to know the ids of."""

    session_id: str
    message_id: str
    reply_id: str


# type -> the frame that names something by the id that stands for `*`, and which of the ids that is
MESSAGES: dict[str, tuple[str, dict[str, Any]]] = {
    "user_message": ("session_id", {"session_id": "*", "content": "let me in"}),
    "resume": ("session_id", {"session_id": "*", "last_seq": 0}),
    "stop": ("reply_id", {"reply_id": "*"}),
    "retry": ("message_id", {"message_id": "*"}),
    "model_select": ("session_id", {"session_id": "*", "model_id": "demo-brief"}),
    "typing_indicator": ("session_id", {"session_id": "*"}),
}
ROUTES = (
    ("GET", "/chat/sessions/*"),
    ("HEAD", "/chat/sessions/*"),
    ("GET", "/chat/sessions/*?before=2&limit=1"),
    ("POST", "/chat/sessions/*/end"),
)


def nobodys() -> tuple[str, ...]:
    """Ids that name nothing: of the right shape, of another, and empty of meaning."""
    return str(uuid.uuid4()), uuid.uuid4().hex, "nonsense", "1", "_" * 128


@pytest.fixture
async def hers(alice, configure, monkeypatch) -> Conversation:
    """A conversation of alice's with a complete answer."""
    configure(messages_per_minute=1_000)
    monkeypatch.setattr(demo, "_PIECE_S", 0)
    device = await alice.connect()
    ack = await device.say("my own business", ref="a1")
    await device.answer(ack["reply_id"])
    await device.close()
    return Conversation(ack["session_id"], ack["message_id"], ack["reply_id"])


async def everything() -> list[Any]:
    """All that is stored of conversations."""
    models = (ChatSession, ChatMessage, Reply)
    return [[row async for row in model.objects.order_by("pk").values()] for model in models]


def test_the_tables_speak_of_every_message_and_address():
    inbound = {str(kind.__struct_config__.tag) for kind in protocol.INBOUND}
    assert inbound - set(MESSAGES) == {"ping"}  # names nothing
    with_id = {path for path in api.default_router.path_operations if "{session_id}" in path}
    asked = {path.removeprefix("/chat/").partition("?")[0].replace("*", "{session_id}") for _, path in ROUTES}
    assert asked == with_id


async def test_a_message_leads_to_its_session_whoever_wrote_it_and_a_strangers_to_none(alice, mallory, hers):
    """`sessions.session_of_message`, which a project's handlers call; what can be retried is only what a user wrote."""
    answer = await ChatMessage.objects.aget(session_id=hers.session_id, sender="ai")
    for message_id in (hers.message_id, str(answer.pk)):
        find = functools.partial(sync_to_async(sessions.session_of_message), message_id)
        assert await find(alice.user_id) == hers.session_id
        with pytest.raises(ChatError, match="NOT_FOUND"):
            await find(mallory.user_id)
    device = await alice.connect()
    await device.send("retry", ref="t", message_id=str(answer.pk))
    assert (await device.expect_error("NOT_FOUND", ref="t"))["field"] == "message_id"
    await device.close()


@both_ways
@pytest.mark.parametrize("type", MESSAGES)
async def test_a_foreign_id_is_answered_like_one_that_does_not_exist(
    alice, mallory, configure, hers, failures, type, local_delivery
):
    """The same word to the letter, nothing changed, and mallory's connection is a member of nothing."""
    configure(local_delivery=local_delivery)
    before = await everything()
    kind, fields = MESSAGES[type]
    device = await mallory.connect()
    answers = []
    for number, key in enumerate((getattr(hers, kind), *nobodys())):
        named = {name: key if value == "*" else value for name, value in fields.items()}
        await device.send(type, ref=f"m{number}", **named)
        answer = await device.expect("error", ref=f"m{number}")
        assert answer.get("session_id") in (None, key)
        answers.append(without_what_differs(answer))
    assert answers == [answers[0]] * len(answers)
    error = answers[0]["error"]
    assert (error["code"], error["category"], error["message"]) == ("NOT_FOUND", "validation", "This was not found.")
    assert error["field"] == kind
    assert hers.session_id not in str(answers)
    assert runtime.current().connections[device.status["connection_id"]].session_ids == ()
    assert await everything() == before
    assert {row.user_id for row in await failures()} == {mallory.user_id}

    # What alice does from now on reaches her other device, and not mallory.
    phone, laptop = await alice.connect(), await alice.connect()
    await phone.send("typing_indicator", session_id=hers.session_id)
    ack = await laptop.say("still mine", ref="a2", session_id=hers.session_id)
    await phone.expect("user_message", seq=ack["seq"])
    await laptop.answer(ack["reply_id"])
    await phone.answer(ack["reply_id"])
    assert await device.rest() == []
    for each in (device, phone, laptop):
        await each.close()


def without_what_differs(answer: dict[str, Any]) -> dict[str, Any]:
    """An error frame without what belongs to the request and not to the answer."""
    error = {key: value for key, value in answer["error"].items() if key != "reference"}
    return {key: value for key, value in answer.items() if key not in {"ref", "session_id", "timestamp"}} | {
        "error": error
    }


@both_ways
async def test_a_running_reply_goes_on_whatever_a_stranger_sends(alice, mallory, configure, hers, local_delivery):
    """Stop, retry and a message into it by mallory, who then leaves: alice's devices get the rest of her answer."""
    configure(fault_commands=True, local_delivery=local_delivery)
    device, stranger = await alice.connect(), await mallory.connect()
    ack = await device.say("/fault slow", ref="a2", session_id=hers.session_id)
    chunk = await device.expect("ai_response", reply_id=ack["reply_id"])
    running = Conversation(ack["session_id"], ack["message_id"], ack["reply_id"])
    for type, (kind, fields) in MESSAGES.items():
        named = {name: getattr(running, kind) if value == "*" else value for name, value in fields.items()}
        await stranger.send(type, ref=type, **named)
        assert (await stranger.expect("error", ref=type))["error"]["code"] == "NOT_FOUND"
    await stranger.close()

    more = await device.expect("ai_response", reply_id=ack["reply_id"])
    assert more["offset"] == len(chunk["content"])
    assert more["metadata"]["done"] == "false"
    await device.send("stop", reply_id=ack["reply_id"], ref="a3")
    await device.expect("ack", ref="a3")
    await device.expect("ai_response", state="stopped", reply_id=ack["reply_id"])
    assert not [frame for frame in await device.rest() if frame["type"] in {"error", "typing_indicator"}]
    await device.close()


async def test_another_spelling_of_an_own_id_is_not_that_session(alice, hers):
    """Groups go by the id's letters: under another spelling a device would join a group nobody sends to."""
    device = await alice.connect()
    for spelling in (hers.session_id.upper(), hers.session_id.replace("-", "")):
        if spelling != hers.session_id:
            await device.send("typing_indicator", session_id=spelling, ref=spelling[:8])
            assert (await device.expect("error", ref=spelling[:8]))["error"]["code"] == "NOT_FOUND"
    assert runtime.current().connections[device.status["connection_id"]].session_ids == ()
    await device.close()


async def test_the_record_of_an_id_that_nothing_can_have_says_so_in_plain_words(alice, hers, failures):
    device = await alice.connect()
    await device.send("stop", ref="s", reply_id="nobodys")
    await device.expect_error("NOT_FOUND", ref="s")
    await device.send("stop", ref="t", reply_id=hers.reply_id.replace("-", ""))
    await device.expect_error("NOT_FOUND", ref="t")
    await device.close()
    causes = [row.cause.partition("NOT_FOUND: ")[2] for row in await failures()]
    assert causes == ["the id is not a UUID", "the id is not spelled as the server spells it"]


@pytest.mark.parametrize(("method", "path"), ROUTES)
async def test_an_address_answers_a_foreign_id_like_one_that_does_not_exist(mallory, hers, failures, method, path):
    before = await everything()
    keys = (hers.session_id, *nobodys(), "%00", "a" * 500, "é")
    answers = [await asyncio.to_thread(_ask, mallory.client, method, path.replace("*", key)) for key in keys]
    assert answers == [answers[0]] * len(answers)
    status, body = answers[0]
    assert status == 404
    assert method == "HEAD" or body == {"error": "This was not found.", "code": "NOT_FOUND", "field": "session_id"}
    assert await everything() == before
    assert await failures() == []


async def test_a_list_holds_only_what_is_ones_own(alice, mallory, hers):
    assert (await asyncio.to_thread(_ask, mallory.client, "GET", "/chat/sessions"))[1]["sessions"] == []
    own = (await asyncio.to_thread(_ask, alice.client, "GET", "/chat/sessions"))[1]["sessions"]
    assert [session["session_id"] for session in own] == [hers.session_id]


def _ask(client: Any, method: str, path: str) -> tuple[int, Any]:
    answer = client.generic(method, path)
    return answer.status_code, answer.json() if answer.content else None
