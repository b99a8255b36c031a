"""Limits as a person meets them: one frame that says how long to wait, and the right close."""

from __future__ import annotations

import pytest

from tests.people import Device

PROXIED = {"x-forwarded-for": "93.184.216.34"}


async def _refused(device, code):
    is_accepted, _ = await device.open()
    assert is_accepted
    error = await device.expect_error(code)
    assert error["retry_after"] >= 1
    assert error["recoverable"] is True
    return error


class TestConnections:
    async def test_one_too_many_is_told_and_closed_and_the_others_hear_once(self, alice, bob, configure, failures):
        configure(connections_per_user=2)
        held = [await alice.connect(), await alice.connect()]
        for _ in range(2):
            late = Device(alice.cookie)
            await _refused(late, "CONNECTION_LIMIT_EXCEEDED")
            assert await late.expect_close() == 4405
            await late.close()
        for device in held:
            notices = [frame for frame in await device.rest() if frame["type"] == "notification"]
            assert [notice["metadata"] for notice in notices] == [{"event": "connection_limit"}]
            assert notices[0]["content"]
        await (await bob.connect()).close()
        assert {row.code for row in await failures()} == {"CONNECTION_LIMIT_EXCEEDED"}

    async def test_a_place_is_free_again_once_a_tab_is_closed(self, alice, configure):
        configure(connections_per_user=1)
        for _ in range(3):
            await (await alice.connect()).close()

    async def test_a_handshake_that_fails_takes_no_place(self, alice, configure, monkeypatch):
        configure(connections_per_user=1)
        from chat.consumers import ChatConsumer

        with monkeypatch.context() as broken:
            broken.setattr(ChatConsumer, "_status", None)
            late = Device(alice.cookie)
            await late.open()
            await late.expect_error("SERVICE_ERROR")
            await late.close()
        await (await alice.connect()).close()


class TestMessages:
    async def test_a_person(self, alice, configure):
        """Over all connections of theirs; nothing is stored, and other frames go on."""
        configure(messages_per_minute=2)
        laptop, phone = await alice.connect(), await alice.connect()
        ack = await laptop.say("one", ref="r1")
        await phone.say("two", ref="r2")
        await laptop.send("user_message", content="three", ref="r3", session_id=ack["session_id"])
        error = await laptop.expect_error("TOO_MANY_REQUESTS", ref="r3")
        assert (error["outcome"], error["retry_after"] >= 1) == ("rejected", True)
        await laptop.send("ping", ref="p")
        await laptop.expect("pong", ref="p")

    async def test_a_connection(self, alice, configure):
        """Frames of any type."""
        configure(connection_frames_per_minute=3)
        device, other = await alice.connect(), await alice.connect()
        for number in range(3):
            await device.send("ping", ref=f"{number}")
            await device.expect("pong", ref=f"{number}")
        await device.send("ping", ref="one more")
        await device.expect_error("TOO_MANY_REQUESTS", ref="one more")
        await other.send("ping", ref="p")
        await other.expect("pong", ref="p")

    async def test_who_does_not_stop_is_closed(self, alice, configure):
        """Each refusal costs an answer and a record: right frames that are too many end as wrong ones do."""
        configure(connection_frames_per_minute=1, refused_per_minute=20)
        device = await alice.connect()
        for number in range(60):
            await device.send("ping", ref=f"{number}")
        assert await device.expect_close() == 4429
        answers = [frame for frame in device.received if frame["type"] == "error"]
        assert 25 <= len(answers) <= 27
        assert {answer["error"]["code"] for answer in answers} == {"TOO_MANY_REQUESTS"}

    async def test_who_was_closed_does_not_begin_anew_by_coming_back(self, alice, bob, configure):
        """And a tab that is broken silences neither the phone that is there nor anybody else."""
        configure(refused_per_minute=8)
        phone, codes = await alice.connect(), []
        for _ in range(3):
            tab = await alice.connect()
            for _ in range(14):
                await tab.send_text("no json")
            assert await tab.expect_close() == 4429
            codes.append([frame["error"]["code"] for frame in tab.received if frame["type"] == "error"])
            await tab.close()
        assert codes[0].count("INVALID_FORMAT") == 8
        for later in codes[1:]:
            assert set(later) == {"TOO_MANY_REQUESTS"}
            assert len(later) <= 9
        for device in (phone, await bob.connect()):
            await device.send_text("no json")
            await device.expect_error("INVALID_FORMAT")
            await device.send("ping", ref="p")
            await device.expect("pong", ref="p")

    @pytest.mark.parametrize("is_other", [False, True], ids=["the same address", "another address"])
    async def test_an_address(self, alice, bob, configure, is_other):
        """Over all its people, as the trusted proxy tells it."""
        configure(address_messages_per_minute=1, trusted_proxies=("127.0.0.1",))
        hers = await alice.connect(**PROXIED)
        his = await bob.connect(**({"x-forwarded-for": "93.184.216.35"} if is_other else PROXIED))
        await hers.say("one", ref="r1")
        await his.send("user_message", content="two", ref="r2")
        if is_other:
            await his.expect("ack", ref="r2")
        else:
            await his.expect_error("TOO_MANY_REQUESTS", ref="r2")


async def test_handshakes_of_an_address(alice, bob, configure):
    configure(handshakes_per_minute=2, trusted_proxies=("127.0.0.1",))
    for _ in range(2):
        await (await alice.connect(**PROXIED)).close()
    late = Device(bob.cookie, PROXIED)
    await _refused(late, "TOO_MANY_REQUESTS")
    assert await late.expect_close() == 4429
    await (await bob.connect(**{"x-forwarded-for": "93.184.216.35"})).close()
