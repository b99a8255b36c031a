"""`chat.testing`, as a project's own tests use it."""

from __future__ import annotations

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth import get_user_model
from django.db import OperationalError

from chat import protocol
from chat.testing import failing_handler, failing_provider, failing_registration, log_in
from errors.exceptions import ChatError
from errors.taxonomy import LLM_OVERLOADED, LLM_UNAVAILABLE


@pytest.fixture
def user(transactional_db):
    return get_user_model().objects.create_user("carol")


async def test_the_example_of_its_docstring(user):
    async with log_in(user) as carol:
        ack = await carol.say("hello")
        assert await carol.answer(ack)
        with failing_provider(ChatError(LLM_UNAVAILABLE)):
            await carol.say("and now?")
            error = await carol.expect_error("LLM_UNAVAILABLE")
        assert error["outcome"] == "saved"


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
