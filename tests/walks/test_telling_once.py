"""I4, in every step: a failure has one ERROR line, one count, one record, one frame on each connection concerned."""

from __future__ import annotations

import pytest
from django.db import OperationalError
from prometheus_client import REGISTRY

from chat import auth, protocol, router, sessions
from chat.llm.demo import DemoBackend
from tests.people import Device
from tests.walks.expectations import lines_of


def _count(code: str, category: str, stage: str) -> float:
    labels = {"code": code, "category": category, "stage": stage}
    return REGISTRY.get_sample_value("chat_failures_total", labels) or 0.0


def _raise(*_):
    raise OperationalError("the database is away")


async def _araise(*_):
    raise OperationalError("the database is away")


async def _cut_off(self, request):
    yield "so far"
    raise OperationalError("the database is away")


class Step:
    """How to make one step fail for alice, and who hears of it."""

    @staticmethod
    async def connect(alice, monkeypatch):
        monkeypatch.setattr(auth, "sign_in", _raise)
        device = Device(alice.cookie)
        await device.open()
        return [device]

    @staticmethod
    async def receive(alice, monkeypatch):
        device, other = await alice.connect(), await alice.connect()
        await device.send_text("{")
        return [device], [other]

    @staticmethod
    async def registration(alice, monkeypatch):
        first = await alice.connect()
        ack = await first.say("hello", ref="r0")
        await first.answer(ack["reply_id"])
        monkeypatch.setattr(sessions, "owned", _raise)
        device = await alice.connect()
        await device.send("user_message", content="x", ref="r1", session_id=ack["session_id"])
        return [device], [first]

    @staticmethod
    async def route(alice, monkeypatch):
        monkeypatch.setitem(router.HANDLERS, protocol.UserMessage, _araise)
        device, other = await alice.connect(), await alice.connect()
        await device.send("user_message", content="x", ref="r1")
        return [device], [other]

    @staticmethod
    async def reply(alice, monkeypatch):
        device, other = await alice.connect(), await alice.connect()
        ack = await device.say("hello", ref="r0")
        await device.answer(ack["reply_id"])
        await other.send("resume", session_id=ack["session_id"], last_seq=0)
        await other.expect("resumed")
        monkeypatch.setattr(DemoBackend, "stream", _cut_off)
        await device.say("again", ref="r1", session_id=ack["session_id"])
        return [device, other]


CODES = {
    "connect": ("DATABASE_ERROR", "service"),
    "receive": ("INVALID_FORMAT", "validation"),
    "registration": ("SERVICE_ERROR", "service"),
    "route": ("DATABASE_ERROR", "service"),
    "reply": ("DATABASE_ERROR", "service"),
}


@pytest.mark.parametrize("local_delivery", [True, False], ids=["local delivery", "through the layer"])
@pytest.mark.parametrize("step", list(CODES))
async def test_a_failure_is_told_once(alice, configure, monkeypatch, log_lines, failures, step, local_delivery):
    configure(local_delivery=local_delivery)
    code, category = CODES[step]
    before = _count(code, category, step)

    made = await getattr(Step, step)(alice, monkeypatch)
    concerned, others = made if isinstance(made, tuple) else (made, [])

    frames = [await device.expect("error") for device in concerned]
    references = {frame["error"]["reference"] for frame in frames}
    assert len(references) == 1
    (reference,) = references
    assert {frame["error"]["code"] for frame in frames} == {code}
    if step == "connect":
        assert await concerned[0].expect_close() == 4400
    else:
        for device in (*concerned, *others):
            assert [frame for frame in await device.rest() if frame["type"] == "error"] == []

    assert len(lines_of(log_lines, reference, "chat.routing_failed")) == 1
    assert len([line for line in log_lines if line["event"] == "chat.routing_failed"]) == 1
    assert _count(code, category, step) == before + 1
    (row,) = await failures()
    assert (row.reference, row.stage) == (reference, step)
    assert row.deliveries == len(concerned)
    for device in (*concerned, *others):
        await device.close()


async def test_a_connection_from_elsewhere_is_refused_before_accept_and_recorded(alice, failures):
    """A wrong, `null` or missing Origin beside a login cookie; nothing can be told, so the record says that."""
    for origin in ("https://evil.example", "null", "", "http://testserver@evil.example", "http://testserver:81"):
        device = Device(alice.cookie, {"origin": origin})
        is_accepted, _ = await device.open()
        assert not is_accepted, origin
    rows = await failures()
    assert [(row.code, row.stage, row.deliveries) for row in rows] == [("INSUFFICIENT_PERMISSIONS", "connect", 0)] * 5


async def test_nobody_is_told_to_sign_in_and_closed(own_runtime, transactional_db, failures):
    """Without a cookie the socket is accepted, so that a browser can see the reason."""
    for cookie in (None, "not-a-session"):
        device = Device(cookie)
        is_accepted, _ = await device.open()
        assert is_accepted
        frame = await device.expect("error")
        assert (frame["error"]["code"], frame["error"]["recoverable"]) == ("UNAUTHORIZED", False)
        assert await device.expect_close() == 4501
    assert [row.code for row in await failures()] == ["UNAUTHORIZED"] * 2


async def test_a_socket_at_an_unknown_address_is_refused(alice):
    from channels.testing import WebsocketCommunicator

    from config.asgi import application

    communicator = WebsocketCommunicator(application, "/chat/nowhere")
    assert await communicator.connect() == (False, 1000)
