"""The registration walk: a connection that cannot join its session says so, and joins with the next message."""

from __future__ import annotations

import pytest
from django.db import OperationalError

from chat import runtime, sessions
from tests.services.databases import PEOPLE
from tests.walks.expectations import check_log, check_public, check_record

CANARY = "canary-19c2-relation"
MESSAGE = "Failed to establish session connection"


@pytest.mark.parametrize("local_delivery", [True, False], ids=["local delivery", "through the layer"])
class TestReadPump:
    async def test_registration_error_handling(
        self, alice, configure, monkeypatch, log_lines, failures, local_delivery
    ):
        """One SERVICE_ERROR frame, the true reason in log and record, nothing bound; the next message registers."""
        configure(local_delivery=local_delivery)
        first = await alice.connect()
        session_id = (await first.say("hello", ref="r0"))["session_id"]
        await first.close()

        calls = []

        def fail_once(session_id, user_id):
            calls.append(session_id)
            if len(calls) == 1:
                raise OperationalError(CANARY)
            return real(session_id, user_id)

        real = sessions.owned
        monkeypatch.setattr(sessions, "owned", fail_once)
        device = await alice.connect()
        connection = runtime.current().connections[device.status["connection_id"]]
        await device.send("user_message", content="still there?", ref="r1", session_id=session_id)
        frame = await device.expect("error", ref="r1", session_id=session_id)

        error = frame["error"]
        assert (error["code"], error["message"], error["recoverable"]) == ("SERVICE_ERROR", MESSAGE, True)
        assert (error["outcome"], error["category"]) == ("rejected", "service")
        check_public(frame, CANARY, "OperationalError")
        facts = {
            "user_id": alice.user_id,
            "session_id": session_id,
            "connection_id": device.status["connection_id"],
            "message_type": "user_message",
            "ref": "r1",
            "stage": "registration",
        }
        check_log(log_lines, frame, cause="OperationalError", is_chat_error=True, **facts)
        (row,) = await failures()
        check_record(row, frame, cause=f"OperationalError: {CANARY}", **facts)
        assert connection.session_ids == ()

        ack = await device.say("and now?", ref="r2", session_id=session_id)
        assert connection.session_ids == (session_id,)
        assert await device.answer(ack["reply_id"])
        assert [frame for frame in await device.rest() if frame["type"] == "error"] == []
        await device.close()


class TestReadPumpUnderDaphne:
    async def test_registration_error_handling(self, logging_daphne):
        site = logging_daphne.sign_in(PEOPLE[1])
        async with await site.connect() as socket:
            status = await socket.expect("connection_status")
            await socket.send(type="user_message", content="/fault registration", ref="r1")
            session_id = (await socket.expect("ack", ref="r1"))["session_id"]

            await socket.send(type="user_message", content="hello", ref="r2", session_id=session_id)
            frame = await socket.expect("error", ref="r2")
            assert (frame["error"]["code"], frame["error"]["message"]) == ("SERVICE_ERROR", MESSAGE)
            check_public(frame, "server closed", "OperationalError")

            await socket.send(type="user_message", content="hello", ref="r2", session_id=session_id)
            assert (await socket.expect("ack", ref="r2"))["duplicate"] is False
        check_log(
            logging_daphne.await_log_lines(2, reference=frame["error"]["reference"]),
            frame,
            cause="OperationalError",
            is_chat_error=True,
            session_id=session_id,
            connection_id=status["connection_id"],
            message_type="user_message",
            ref="r2",
            stage="registration",
        )


async def test_the_fault_command_waits_for_a_message_of_the_persons_own(alice, configure):
    """What a page sends by itself does not use the fault up: its error would be shown to nobody."""
    configure(fault_commands=True)
    device = await alice.connect()
    session_id = (await device.say("/fault registration", ref="r1"))["session_id"]
    await device.send("typing_indicator", session_id=session_id)
    await device.send("user_message", content="hello", ref="r2", session_id=session_id)
    frame = await device.expect("error")
    assert (frame["ref"], frame["error"]["message"]) == ("r2", MESSAGE)
    assert (await device.say("hello", ref="r2", session_id=session_id))["duplicate"] is False
