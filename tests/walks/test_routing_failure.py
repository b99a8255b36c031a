"""The failure walk: whatever goes wrong on a message's way is told once, logged, recorded, and the socket lives."""

from __future__ import annotations

import asyncio

import pytest

from chat import protocol, router
from chat.llm.demo import DemoBackend
from errors.exceptions import ChatError
from errors.taxonomy import LLM_OVERLOADED, LLM_UNAVAILABLE
from tests.services.databases import PEOPLE, STAFF
from tests.walks.expectations import check_log, check_public, check_record

CANARY = "canary-7f3a-host-db.internal"


async def _provider_is_down(self, request):
    raise ChatError(LLM_UNAVAILABLE, detail=CANARY) from ConnectionRefusedError(CANARY)
    yield ""


async def _raise_chat_error(connection, message):
    raise ChatError(LLM_OVERLOADED, detail=CANARY, retry_after_ms=4_200)


async def _raise_unknown(connection, message):
    raise ZeroDivisionError(CANARY)


class Panic(BaseException):
    """As a library in another language raises it."""


async def _panic(connection, message):
    raise Panic(CANARY)


async def _exit(connection, message):
    raise SystemExit(CANARY)


async def _await_what_somebody_cancelled(connection, message):
    task = asyncio.create_task(asyncio.sleep(10))
    task.cancel()
    await task


@pytest.mark.parametrize("handler", [_panic, _exit, _await_what_somebody_cancelled])
async def test_what_is_no_exception_is_a_failure_all_the_same(alice, monkeypatch, failures, handler):
    """Let through, it would end the socket without a word, or the server."""
    device = await alice.connect()
    with monkeypatch.context() as patch:
        patch.setitem(router.HANDLERS, protocol.Ping, handler)
        await device.send("ping", ref="r1")
        frame = await device.expect("error", ref="r1")
    assert frame["error"]["code"] == "SERVICE_ERROR"
    check_public(frame, CANARY, "Panic", "Cancelled")
    await device.send("ping", ref="r2")
    await device.expect("pong", ref="r2")
    assert [row.reference for row in await failures()] == [frame["error"]["reference"]]


@pytest.mark.parametrize("local_delivery", [True, False], ids=["local delivery", "through the layer"])
class TestReadPump:
    @pytest.mark.parametrize(
        ("fault", "code", "stage", "outcome", "cause"),
        [
            ("provider", "LLM_UNAVAILABLE", "reply", "saved", "ConnectionRefusedError"),
            ("chat error", "LLM_OVERLOADED", "route", "rejected", "LLM_OVERLOADED"),
            ("unknown", "SERVICE_ERROR", "route", "rejected", "ZeroDivisionError"),
        ],
    )
    async def test_routing_error_handling(
        self, alice, configure, monkeypatch, log_lines, failures, local_delivery, fault, code, stage, outcome, cause
    ):
        """The person gets one safe frame, the operator the whole story, and the next message works."""
        configure(local_delivery=local_delivery)
        device = await alice.connect()
        if fault == "provider":
            monkeypatch.setattr(DemoBackend, "stream", _provider_is_down)
        else:
            raising = _raise_chat_error if fault == "chat error" else _raise_unknown
            monkeypatch.setitem(router.HANDLERS, protocol.UserMessage, raising)

        await device.send("user_message", content="what about this?", ref="r1")
        if fault == "provider":
            ack = await device.expect("ack", ref="r1")
            frame = await device.expect("error", reply_id=ack["reply_id"], in_reply_to=ack["message_id"])
            assert "ref" not in frame
        else:
            frame = await device.expect("error", ref="r1")

        error = frame["error"]
        assert (error["code"], error["outcome"], error["recoverable"]) == (code, outcome, True)
        assert ("retry_after" in error) is (fault == "chat error")
        check_public(frame, CANARY, "ZeroDivision", "ConnectionRefused")
        check_log(
            log_lines,
            frame,
            cause=cause,
            is_chat_error=fault != "unknown",
            user_id=alice.user_id,
            session_id=frame.get("session_id"),
            connection_id=device.status["connection_id"],
            message_type="user_message",
            ref="r1",
            stage=stage,
        )
        (row,) = await failures()
        check_record(
            row,
            frame,
            cause=cause,
            stage=stage,
            user_id=alice.user_id,
            connection_id=device.status["connection_id"],
            message_type="user_message",
            ref="r1",
        )
        assert CANARY in str(row.causes)
        assert "Traceback" in row.traceback

        monkeypatch.undo()
        ack = await device.say("and now?", ref="r2")
        assert await device.answer(ack["reply_id"])
        assert not [frame for frame in await device.rest() if frame["type"] == "error"]
        await device.close()

    async def test_a_fatal_error_is_told_before_its_close_code(self, alice, configure, failures, local_delivery):
        configure(local_delivery=local_delivery, fault_commands=True)
        device = await alice.connect()
        await device.send("user_message", content="/fault auth", ref="r1")
        frame = await device.expect("error", ref="r1")
        assert (frame["error"]["code"], frame["error"]["recoverable"]) == ("UNAUTHORIZED", False)
        assert frame["error"]["actions"] == ["sign_in"]
        assert await device.expect_close() == 4501
        (row,) = await failures()
        assert (row.code, row.recoverable) == ("UNAUTHORIZED", False)


class TestReadPumpUnderDaphne:
    @pytest.mark.parametrize(
        ("kind", "code", "stage", "cause"),
        [
            ("unavailable", "LLM_UNAVAILABLE", "reply", "ConnectionRefusedError"),
            ("ratelimit", "TOO_MANY_REQUESTS", "route", "TOO_MANY_REQUESTS"),
            ("crash", "SERVICE_ERROR", "reply", "RuntimeError"),
            ("database", "DATABASE_ERROR", "route", "OperationalError"),
        ],
    )
    async def test_routing_error_handling(self, logging_daphne, kind, code, stage, cause):
        """The same walk through a real server and a real client; the record is found by staff under the reference."""
        site = logging_daphne.sign_in(PEOPLE[0])
        async with await site.connect(subprotocols=("chat.v1",)) as socket:
            status = await socket.expect("connection_status")
            await socket.send(type="user_message", content=f"/fault {kind}", ref=f"r-{kind}")
            frame = await socket.expect("error")
            assert frame["error"]["code"] == code
            check_public(frame, "Connection refused", "defect in the provider", "server closed")

            await socket.send(type="user_message", content="hello", ref=f"after-{kind}")
            ack = await socket.expect("ack", ref=f"after-{kind}")
            end = await socket.expect_where(
                lambda frame: frame["type"] == "ai_response" and frame["metadata"]["done"] == "true"
            )
            assert (end["reply_id"], end["state"]) == (ack["reply_id"], "complete")
            assert not [frame for frame in socket.frames if frame["type"] == "error"]

        check_log(
            logging_daphne.await_log_lines(1, reference=frame["error"]["reference"]),
            frame,
            cause=cause,
            is_chat_error=kind in {"unavailable", "ratelimit"},
            connection_id=status["connection_id"],
            message_type="user_message",
            ref=f"r-{kind}",
            stage=stage,
        )
        assert frame["error"]["reference"] in await _as_staff(logging_daphne, frame["error"]["reference"])


async def _as_staff(server, reference: str) -> str:
    """The admin's list of failures, searched for a reference, as text."""
    staff = await asyncio.to_thread(server.sign_in, STAFF[0])

    def look() -> str:
        _, page = staff.get_text(f"/admin/errors/routingfailure/?q={reference}")
        return page

    async with asyncio.timeout(10):
        while True:
            page = await asyncio.to_thread(look)
            if f">{reference}<" in page:
                return page
