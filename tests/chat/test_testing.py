"""`chat.testing`, as a project's own tests use it."""

from __future__ import annotations

import asyncio

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth import get_user_model
from django.db import OperationalError, transaction

from chat import communicator, frame_history, protocol, runtime, testing
from chat.testing import (
    aclose,
    answering_provider,
    failing_handler,
    failing_provider,
    failing_registration,
    log_in,
    stored_failure,
)
from errors.exceptions import ChatError
from errors.taxonomy import LLM_OVERLOADED, LLM_UNAVAILABLE


@pytest.fixture
def user(transactional_db):
    return get_user_model().objects.create_user("carol")


@pytest.fixture
def mallory(transactional_db):
    return get_user_model().objects.create_user("mallory")


async def test_the_example_of_its_docstring(user):
    async with log_in(user) as carol:
        with answering_provider("Yes."):
            ack = await carol.say("Is it open?")
            assert await carol.answer(ack) == "Yes."
        with failing_provider(ChatError(LLM_UNAVAILABLE)):
            await carol.say("and now?")
            error = await carol.expect_error("LLM_UNAVAILABLE")
        assert error["outcome"] == "saved"


async def test_an_answering_provider_says_what_it_was_asked(user):
    async with log_in(user) as carol:
        with answering_provider("One, ", "two.") as asked:
            ack = await carol.say("Count.")
            assert await carol.answer(ack) == "One, two."
            await carol.answer(await carol.say("Again.", session_id=ack["session_id"]))
        assert [request.question for request in asked] == ["Count.", "Again."]
        assert [turn.content for turn in asked[1].turns] == ["Count.", "One, two.", "Again."]
        assert await carol.answer(await carol.say("And without it?")) != "One, two."


class TestAsk:
    async def test_it_returns_what_the_request_ends_in(self, user):
        async with log_in(user) as carol:
            ack = await carol.say("hello")
            await carol.answer(ack)
            chosen = await carol.ask("model_select", session_id=ack["session_id"], model_id="demo")
            again = await carol.ask("retry", message_id=ack["message_id"])
            assert again["reply_id"] == ack["reply_id"]
            assert chosen["type"] == again["type"] == "ack"
            phone = await carol.second_device()
            resumed = await phone.ask("resume", session_id=ack["session_id"], last_seq=0)
            assert (resumed["type"], resumed["to"]) == ("resumed", 2)
            assert (await carol.ask("ping", ref="p"))["ref"] == "p"

    async def test_a_request_that_is_refused_is_told_at_once_with_what_was_recorded(self, user):
        async with log_in(user) as carol:
            with failing_handler(protocol.Ping, ValueError("no stars")):
                async with asyncio.timeout(4):
                    with pytest.raises(AssertionError) as failed:
                        await carol.ask("ping")
            text = str(failed.value)
            assert text.startswith("got SERVICE_ERROR instead of pong {'ref': 'ask-")
            assert "\n    its cause: ValueError: no stars, raised by failing_handler.<locals>.handle in " in text
            assert await carol.ask("ping")


async def test_every_fault_can_be_made_and_ends_with_its_block(user):
    async with log_in(user) as carol:
        ack = await carol.say("hello")
        with failing_provider(RuntimeError("boom"), after="so far"):
            await carol.say("more")
            assert (await carol.expect_error("SERVICE_ERROR"))["outcome"] == "partial"
        with failing_handler(protocol.Ping, ChatError(LLM_OVERLOADED, retry_after_ms=10)):
            await carol.send("ping", ref="p")
            assert (await carol.expect_error("LLM_OVERLOADED", ref="p"))["retry_after"] == 10
        phone = await carol.second_device()
        with failing_registration(OperationalError("gone")):
            await phone.send("user_message", content="x", ref="r", session_id=ack["session_id"])
            await phone.expect_error("SERVICE_ERROR", ref="r")
        assert await phone.answer(await phone.say("x", ref="r", session_id=ack["session_id"]))
        await phone.close()


async def test_a_device_that_is_closed_says_so(user):
    async with log_in(user) as carol:
        cookie = carol.cookie
        await sync_to_async(get_user_model().objects.update)(is_active=False)
        late = type(carol)(cookie)
        await late.open()
        await late.expect_error("UNAUTHORIZED")
        with pytest.raises(AssertionError, match="closed"):
            await late.expect("pong")


class TestTwoPeople:
    async def test_one_who_leaves_does_not_disconnect_the_other(self, user, mallory):
        async with log_in(user) as carol:
            ack = await carol.say("hello")
            async with log_in(mallory) as stranger:
                await stranger.send("resume", ref="r", session_id=ack["session_id"], last_seq=0)
                await stranger.expect_error("NOT_FOUND", ref="r")
            assert runtime.current().connections
            assert await carol.answer(await carol.say("still here", session_id=ack["session_id"]))
        assert runtime.current().connections == {}

    async def test_whoever_leaves_last_ends_the_runtime(self, user, mallory):
        first, second = log_in(user), log_in(mallory)
        await first.__aenter__()
        their = runtime.current()
        stranger = await second.__aenter__()
        await first.__aexit__(None, None, None)
        assert await stranger.answer(await stranger.say("hello"))
        assert runtime.current() is their
        await second.__aexit__(None, None, None)
        assert their.is_draining
        assert runtime.current() is not their
        await aclose()

    async def test_second_devices_are_closed_with_the_block(self, user, mallory):
        async with log_in(mallory) as stranger:
            async with log_in(user) as carol:
                await carol.close()
                phone = await carol.second_device()
                tablet = await phone.second_device()
                assert await tablet.ask("ping")
            assert list(runtime.current().connections) == [stranger.status["connection_id"]]
            for device in (phone, tablet):
                with pytest.raises(AssertionError, match="ended before pong"):
                    await device.expect("pong")

    async def test_a_refused_handshake_does_not_count(self, user, settings):
        settings.CHAT = {**settings.CHAT, "allowed_origins": ()}
        with pytest.raises(AssertionError, match="handshake was refused"):
            async with log_in(user):
                pass
        assert not any(testing._open_log_ins.values())


async def test_a_test_case_in_a_transaction_is_told_what_to_be(user):
    """The chat's threads wait for its lock or see nothing of its rows, and what they say then leads nowhere."""
    block = transaction.atomic()
    await sync_to_async(block.__enter__)()
    try:
        with pytest.raises(RuntimeError, match="make it a TransactionTestCase"):
            async with log_in(user):
                pass
    finally:
        await sync_to_async(block.__exit__)(None, None, None)


class TestAStoredFailure:
    async def test_is_the_record_under_the_reference(self, user):
        async with log_in(user) as carol:
            with failing_provider(ChatError(LLM_UNAVAILABLE, detail="the roster is empty"), after="It is "):
                ack = await carol.say("what time is it?")
                frame = await carol.expect("error", reply_id=ack["reply_id"])
        for error in (frame, frame["error"]):
            failure = await stored_failure(error)
            assert (failure.code, failure.outcome) == ("LLM_UNAVAILABLE", "partial")
            assert failure.cause.endswith("the roster is empty")

    async def test_that_there_is_not_says_so(self, transactional_db):
        with pytest.raises(AssertionError, match="under E-0000-0000"):
            await stored_failure({"reference": "E-0000-0000"})


class TestAFailedExpectation:
    async def test_names_the_error_of_its_request_or_reply_at_once(self, user):
        async with log_in(user) as carol:
            async with asyncio.timeout(4):
                await carol.send("stop", ref="s", reply_id="nobodys")
                with pytest.raises(AssertionError, match=r"got NOT_FOUND instead of ack {'ref': 's'}"):
                    await carol.expect("ack", ref="s")
                with failing_provider(ChatError(LLM_UNAVAILABLE)):
                    ack = await carol.say("hello")
                    with pytest.raises(AssertionError, match="got LLM_UNAVAILABLE instead of ai_response"):
                        await carol.expect("ai_response", reply_id=ack["reply_id"], state="complete")

    async def test_leaves_the_errors_of_others_alone(self, user):
        async with log_in(user) as carol:
            await carol.send("stop", ref="s", reply_id="nobodys")
            await carol.send("ping", ref="p")
            assert await carol.expect("pong", ref="p")
            assert await carol.expect_error("NOT_FOUND", ref="s", field="reply_id")

    async def test_tells_the_cause_of_another_code_and_shortens_the_frame(self, user):
        async with log_in(user) as carol:
            with failing_provider(ValueError("x"), after="It is "):
                await carol.say("what time is it?")
                with pytest.raises(AssertionError) as failed:
                    await carol.expect_error("LLM_UNAVAILABLE")
            first, second = str(failed.value).splitlines()
            assert first.startswith("got SERVICE_ERROR instead of LLM_UNAVAILABLE: {")
            assert len(first) < 400
            assert "timestamp" not in first
            assert second.startswith(
                "    its cause: ValueError: x, raised by failing_provider.<locals>.stream in chat/"
            )

    async def test_tells_the_causes_of_what_came_instead(self, user):
        async with log_in(user) as carol:
            with failing_handler(protocol.Ping, ValueError("x")):
                await carol.send("ping")
                await carol.send("stop", reply_id="nobodys")
                with pytest.raises(AssertionError) as failed:
                    await carol.expect("pong", timeout=0.2)
            text = str(failed.value)
            assert text.startswith("waited 0.2 s for pong; received:\n  {")
            assert [line.partition(", raised by ")[0] for line in text.splitlines() if "its cause" in line] == [
                "    its cause: ValueError: x",
                "    its cause: errors.exceptions.ChatError: NOT_FOUND: the id is not a UUID",
            ]

    async def test_is_told_where_nothing_is_recorded(self, user, settings):
        settings.ERRORS = {**settings.ERRORS, "enabled": False}
        async with log_in(user) as carol:
            with pytest.raises(AssertionError) as failed:
                await carol.ask("stop", reply_id="nobodys")
        assert "its cause" not in str(failed.value)

    async def test_is_told_where_the_records_cannot_be_read(self, user, monkeypatch):
        def away(*args):
            raise OperationalError("away")

        async with log_in(user) as carol:
            monkeypatch.setattr(frame_history, "_written", away)
            with pytest.raises(AssertionError, match=r"got NOT_FOUND instead of .*\n    its cause: not known"):
                await carol.ask("stop", reply_id="nobodys")

    async def test_says_what_was_received_and_leaves_the_device_usable(self, user):
        async with log_in(user) as carol:
            await carol.answer(await carol.say("hello"))
            with pytest.raises(AssertionError) as failed:
                await carol.expect("pong", ref="never", timeout=0.05)
            text = str(failed.value)
            assert text.startswith("waited 0.05 s for pong {'ref': 'never'}; received")
            assert '"type": "ack"' in text
            assert "(the last of " in text  # the chunks of the answer are one line
            assert text.count("ai_response") == 1
            assert await carol.answer(await carol.say("and again"))

    async def test_counts_its_whole_time_however_much_else_comes(self, user):
        async with log_in(user) as carol:
            with failing_handler(protocol.Ping, RuntimeError("boom")):

                async def chatter():
                    while True:
                        await carol.send("ping", ref="p")
                        await asyncio.sleep(0.02)

                talking = asyncio.create_task(chatter())
                with pytest.raises(AssertionError, match=r"waited 0\.2 s for pong; received:"):
                    async with asyncio.timeout(5):
                        await carol.expect("pong", timeout=0.2)
                talking.cancel()

    async def test_an_answer_that_fails_names_the_error_at_once(self, user):
        async with log_in(user) as carol:
            with failing_provider(ChatError(LLM_UNAVAILABLE), after="It is "):
                ack = await carol.say("what time is it?")
                async with asyncio.timeout(5):
                    with pytest.raises(AssertionError, match="LLM_UNAVAILABLE"):
                        await carol.answer(ack)
            assert await carol.answer(await carol.say("and now?"))

    async def test_a_message_that_is_refused_names_the_error_at_once(self, user):
        async with log_in(user) as carol:
            async with asyncio.timeout(4):
                with pytest.raises(
                    AssertionError,
                    match=r"(?s)got NOT_FOUND instead of ack .*\n    its cause: .* the id is not a UUID, raised",
                ):
                    await carol.say("hello", session_id="nobodys")
            assert await carol.say("hello")

    async def test_after_the_close_says_so_at_once_and_the_code_can_be_read(self, user):
        async with log_in(user) as carol:
            await aclose()
            async with asyncio.timeout(4):
                with pytest.raises(AssertionError, match=r"closed .*4000.* before pong"):
                    await carol.expect("pong")
                assert await carol.expect_close() == 4000
                assert await carol.expect("goodbye")

    async def test_a_device_that_was_closed_can_be_closed_again(self, user):
        async with log_in(user) as carol:
            await carol.close()
            async with asyncio.timeout(4):
                with pytest.raises(AssertionError, match="ended before pong"):
                    await carol.expect("pong")

    async def test_an_application_that_dies_is_what_the_test_fails_with(self, user, monkeypatch):
        async def die(*args):
            raise OSError("gone")

        async with log_in(user) as carol:
            monkeypatch.setattr(communicator, "get_default_application", lambda: die)
            with pytest.raises(OSError, match="gone"):
                await type(carol)(carol.cookie).open()
