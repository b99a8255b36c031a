"""A project's own message types: a struct, a handler and one setting; held to the same rules as the protocol's own."""

from __future__ import annotations

import enum
from typing import Annotated, Any

import msgspec
import pytest
from django.core.exceptions import ImproperlyConfigured
from msgspec import UNSET, Meta, UnsetType

from chat import checks, decode, message_types, protocol
from chat.connection import Connection
from chat.message_types import MessageType
from chat.models import ChatSession
from chat.testing import failing_handler
from errors.exceptions import ChatError
from errors.taxonomy import Category, ErrorSpec

OUT_OF_STARS = ErrorSpec(
    code="OUT_OF_STARS",
    category=Category.VALIDATION,
    message="There are no stars left to give.",
    why="Every one was given away.",
    remedy="Take one back first.",
    http_status=400,
)


class Mood(enum.Enum):
    GLAD = "glad"
    SAD = "sad"


class Part(msgspec.Struct, frozen=True):
    name: str
    weight: int = 1


class RateAnswer(protocol.Inbound, frozen=True, kw_only=True, tag="shop.rate_answer"):
    session_id: str
    stars: Annotated[int, Meta(ge=1, le=5)]
    comment: Annotated[str, Meta(max_length=20)] | UnsetType = UNSET
    mood: Mood = Mood.GLAD
    parts: Annotated[list[Part], Meta(max_length=2)] = msgspec.field(default_factory=list)
    scores2: dict[str, float] = msgspec.field(default_factory=dict)
    anything: Any = None


class Wave(protocol.Inbound, frozen=True, kw_only=True, tag="wave"):
    pass


async def rate(connection: Connection, message: RateAnswer) -> None:
    if message.comment == "greedy":
        raise ChatError(OUT_OF_STARS, field="stars", detail="private")
    connection.respond(
        protocol.Notification(
            session_id=message.session_id,
            metadata={"event": "shop.rated", "stars": message.stars},
            content="Thank you.",
        )
    )


async def wave(connection: Connection, message: Wave) -> None:
    connection.respond(protocol.Ack())


def wait(connection: Connection, message: Wave) -> None: ...


RATE, WAVE = MessageType(RateAnswer, rate, is_counted=True), MessageType(Wave, wave)
NO_TYPE = "shop.rate_answer"
SYNC = MessageType(Wave, wait)  # type: ignore[arg-type]
NO_STRUCT = MessageType(dict, wave)  # type: ignore[arg-type]


def tagged(tag: Any, **fields: Any) -> MessageType:
    made = msgspec.defstruct(
        "Made", list(fields.items()), bases=(protocol.Inbound,), tag=tag, frozen=True, kw_only=True
    )
    return MessageType(made, wave)


TAKEN, SERVERS, LATER = tagged("user_message"), tagged("ack"), tagged("file_upload")
UNTAGGED, SHOUTED, ENDLESS, NUMBERED = tagged(None), tagged("Rate!"), tagged("a" * 65), tagged(7)
UNREADABLE = tagged("shop.unreadable", value=list[int] | set[str])


@pytest.fixture
def shop(configure, settings):
    settings.ERRORS = {**settings.ERRORS, "extra_specs": (f"{__name__}.OUT_OF_STARS",)}
    configure(message_types=(f"{__name__}.RATE", f"{__name__}.WAVE"))


@pytest.fixture
async def session_id(alice) -> str:
    return str((await ChatSession.objects.acreate(owner_id=alice.user_id, assistant_enabled=False)).pk)


class TestTheWalk:
    async def test_it_is_answered_by_its_handler(self, shop, alice, session_id):
        device = await alice.connect()
        await device.send("shop.rate_answer", ref="r1", session_id=session_id, stars=5, comment="good")
        answer = await device.expect("notification", ref="r1")
        assert (answer["content"], answer["metadata"]) == ("Thank you.", {"event": "shop.rated", "stars": 5})
        await device.send("wave", ref="r2")
        assert await device.expect("ack", ref="r2")
        await device.close()

    async def test_it_may_name_no_session_that_is_not_the_persons_own(self, shop, mallory, alice, session_id, failures):
        device, owner = await mallory.connect(), await alice.connect()
        await device.send("shop.rate_answer", ref="r1", session_id=session_id, stars=5)
        await device.expect_error("NOT_FOUND", ref="r1")
        await owner.send("shop.rate_answer", ref="r1", session_id=session_id, stars=5)
        await owner.expect("notification", ref="r1")
        assert await device.rest() == []
        assert [(row.code, row.stage, row.message_type) for row in await failures()] == [
            ("NOT_FOUND", "registration", "shop.rate_answer")
        ]
        for each in (device, owner):
            await each.close()

    async def test_its_failure_is_told_in_the_projects_own_word(self, shop, alice, session_id, failures):
        device = await alice.connect()
        await device.send("shop.rate_answer", ref="r1", session_id=session_id, stars=5, comment="greedy")
        error = await device.expect_error("OUT_OF_STARS", ref="r1")
        assert (error["message"], error["field"]) == (OUT_OF_STARS.message, "stars")
        with failing_handler(Wave, RuntimeError("boom")):
            await device.send("wave", ref="r2")
            await device.expect_error("SERVICE_ERROR", ref="r2")
        rows = await failures()
        assert [(row.code, row.message_type) for row in rows] == [
            ("OUT_OF_STARS", "shop.rate_answer"),
            ("SERVICE_ERROR", "wave"),
        ]
        await device.close()

    async def test_it_counts_where_it_says_so(self, shop, configure, alice, session_id):
        configure(messages_per_minute=2)
        device = await alice.connect()
        for number in range(2):
            await device.send("shop.rate_answer", ref=f"r{number}", session_id=session_id, stars=5)
            await device.expect("notification", ref=f"r{number}")
        await device.send("shop.rate_answer", ref="r9", session_id=session_id, stars=5)
        assert (await device.expect_error("TOO_MANY_REQUESTS", ref="r9"))["retry_after"] >= 1
        await device.send("wave", ref="w")
        assert await device.expect("ack", ref="w")
        await device.close()

    async def test_what_was_said_in_it_stays_out_of_the_record(self, shop, alice, session_id, failures):
        device, canary = await alice.connect(), "my-secret-canary"
        await device.send("shop.rate_answer", session_id=session_id, stars=9, comment=canary, mood=canary)
        await device.expect_error("INVALID_FORMAT")
        with failing_handler(RateAnswer, ValueError(f"cannot use {canary}")):
            await device.send("shop.rate_answer", session_id=session_id, stars=1, comment=canary)
            await device.expect_error("SERVICE_ERROR")
        rows = await failures()
        assert len(rows) == 2
        assert canary not in repr([vars(row) for row in rows])
        await device.close()

    def test_every_text_in_it_was_said_at_any_depth(self):
        """But for ids; of a name that only ends like one nobody knows."""

        class Visit(protocol.Inbound, frozen=True, kw_only=True, tag="shop.visit"):
            href: str
            part: Part
            answers: list[str]
            profile: dict[str, str]
            order_id: str

        visit = Visit(
            ref="r1",
            session_id="s1",
            href="https://shop.example/i-am-ill",
            part=Part("a wheel"),
            answers=["yes, I am"],
            profile={"name": "Eve"},
            order_id="o1",
        )
        assert set(visit.private_texts) == {"https://shop.example/i-am-ill", "a wheel", "yes, I am", "Eve"}
        said = protocol.UserMessage(content="hello", metadata={"note": "of my illness", "n": 3})
        assert set(said.private_texts) == {"hello", "of my illness"}

    async def test_without_the_setting_the_type_is_unknown(self, alice, session_id):
        device = await alice.connect()
        await device.send("shop.rate_answer", ref="r1", session_id=session_id, stars=5)
        assert (await device.expect_error("UNKNOWN_TYPE", ref="r1"))["field"] == "type"
        await device.close()


@pytest.mark.parametrize(
    ("fields", "code", "at_fault"),
    [
        ('"stars": 5', "MISSING_FIELD", "session_id"),
        ('"session_id": "a"', "MISSING_FIELD", "stars"),
        ('"session_id": "", "stars": 5', "MISSING_FIELD", "session_id"),
        ('"session_id": "a/b", "stars": 5', "INVALID_FORMAT", "session_id"),
        ('"session_id": "a", "stars": 6', "INVALID_FORMAT", "stars"),
        ('"session_id": "a", "stars": "5"', "INVALID_FORMAT", "stars"),
        ('"session_id": "a", "stars": 5, "comment": "123456789012345678901"', "FIELD_TOO_LONG", "comment"),
        ('"session_id": "a", "stars": 5, "comment": "a\\u0000"', "INVALID_FORMAT", "comment"),
        ('"session_id": "a", "stars": 5, "mood": "angry"', "INVALID_FORMAT", "mood"),
        ('"session_id": "a", "stars": 5, "parts": [{"name": "a"}, {}]', "MISSING_FIELD", "parts"),
        ('"session_id": "a", "stars": 5, "parts": [{"name": "a\\u0000"}]', "INVALID_FORMAT", "parts"),
        ('"session_id": "a", "stars": 5, "parts": [{"name": "a", "weight": 9007199254740993}]', "INVALID_FORMAT",
         "parts"),
        ('"session_id": "a", "stars": 5, "parts": [{"name":"a"},{"name":"a"},{"name":"a"}]', "FIELD_TOO_LONG", "parts"),
        ('"session_id": "a", "stars": 5, "scores2": {"a": "b"}', "INVALID_FORMAT", "scores2"),
        ('"session_id": "a", "stars": 5, "scores2": {"a": 1e300}', "INVALID_FORMAT", "scores2"),
        ('"session_id": "a", "stars": 5, "scores2": {"\\u0000": 1}', "INVALID_FORMAT", "scores2"),
        ('"session_id": "a", "stars": 5, "anything": [{"a": ["\\u0000"]}]', "INVALID_FORMAT", "anything"),
        ('"session_id": "a", "stars": 5, "anything": "%s"' % ("a" * 10_001), "FIELD_TOO_LONG", "anything"),
        ('"session_id": "a", "stars": 5, "anything": ' + "[" * 5_000 + "]" * 5_000, "INVALID_FORMAT", None),
        ('"session_id": "a", "stars": 5, "anything": NaN', "INVALID_FORMAT", None),
    ],
)  # fmt: skip
def test_a_violation_names_the_field(shop, fields, code, at_fault):
    with pytest.raises(ChatError) as caught:
        decode.decode(f'{{"type": "shop.rate_answer", "ref": "r1", {fields}}}')
    assert (caught.value.spec.code, caught.value.field) == (code, at_fault)


def test_what_is_sound_is_read_whole(shop):
    text = '{"type":"shop.rate_answer","session_id":"a","stars":5,"parts":[{"name":"é"}],"anything":{"a":[1,null,"b"]}}'
    assert decode.decode(text) == RateAnswer(session_id="a", stars=5, parts=[Part("é")], anything={"a": [1, None, "b"]})


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["NOWHERE"], "cannot be imported"),
        (["NO_TYPE"], "is no MessageType"),
        (["NO_STRUCT"], "no subclass of chat.protocol.Inbound"),
        (["SYNC"], "no `async def` function"),
        (["TAKEN"], "'user_message', which is taken"),
        (["SERVERS"], "'ack', which is taken"),
        (["LATER"], "'file_upload', which is taken"),
        (["RATE", "RATE"], "'shop.rate_answer', which is taken"),
        (["UNTAGGED"], "'Made': lower-case"),
        (["SHOUTED"], "'Rate!': lower-case"),
        (["ENDLESS"], "lower-case words"),
        (["NUMBERED"], "'7': lower-case"),
        (["UNREADABLE"], "may not contain more than one"),
    ],
)
def test_a_message_type_that_cannot_be_used_refuses_to_start_in_one_line(configure, names, words):
    configure(message_types=tuple(f"{__name__}.{name}" for name in names))
    (problem,) = checks.message_types_can_be_read(None)
    assert problem.id == "chat.E008"
    assert words in problem.msg
    assert "CHAT['message_types']" in problem.msg
    assert "\n" not in problem.msg
    with pytest.raises(ImproperlyConfigured):
        decode.prepare()


def test_the_setting_is_read_once(shop):
    """A message costs one look-up, whatever types there are."""
    assert decode.prepare() is decode.prepare()
    assert message_types.handlers() == {RateAnswer: rate, Wave: wave}
    assert message_types.counted() == {protocol.UserMessage, protocol.Retry, RateAnswer}
