"""For tests of a project that uses the chat: people, devices and faults on the Channels communicator.

    async def test_my_handler(alice_user):
        async with log_in(alice_user) as alice:
            with answering_provider("Yes."):
                ack = await alice.say("Is it open?")
                assert await alice.answer(ack) == "Yes."
            with failing_provider(ChatError(LLM_UNAVAILABLE)):
                await alice.say("and now?")
                error = await alice.expect_error("LLM_UNAVAILABLE")

Everything is real -- the ASGI application, the pipeline, the database, the channel layer -- except the socket itself.
Wait for frames, never for time. Tests need a database that other threads see (pytest-django: `transactional_db`, a file
for SQLite). A test that opens its devices without `log_in` ends the event loop's runtime itself, with `aclose()`.
"""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any
from unittest import mock

from asgiref.sync import sync_to_async
from django.conf import settings
from django.contrib.auth.base_user import AbstractBaseUser
from django.db import connections
from django.test import Client

from chat import protocol, router, runtime, sessions
from chat.communicator import ChatCommunicator
from chat.frame_history import Frame, stored_failure
from chat.llm.base import ReplyRequest
from chat.llm.choice import Choice

# Everything that tests need has its name here; the device is long, and lies in a file of its own.
__all__ = [
    "ChatCommunicator",
    "Frame",
    "aclose",
    "answering_provider",
    "failing_handler",
    "failing_provider",
    "failing_registration",
    "log_in",
    "login_cookie",
    "stored_failure",
]

_open_log_ins: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, int] = weakref.WeakKeyDictionary()


# --- People -----------------------------------------------------------------------------------------------------------


def login_cookie(user: AbstractBaseUser) -> str:
    """Sign `user` in, as if from a new browser, and return the cookie's value. Synchronous."""
    client = Client()
    client.force_login(user)  # type: ignore[arg-type]  # the stubs know this project's user model only
    return str(client.cookies[settings.SESSION_COOKIE_NAME].value)


@asynccontextmanager
async def log_in(user: AbstractBaseUser) -> AsyncIterator[ChatCommunicator]:
    """A connected device of `user`, closed at the end of the block together with its second devices.

    Blocks may be nested or overlap, for several people in one test. The last one to end on an event loop ends the
    loop's runtime, too: an answer that is still being written ends as REPLY_INTERRUPTED.

    Raises:
        RuntimeError: The test is a `TestCase` of Django's, which is one transaction.
    """
    await sync_to_async(_refuse_transaction)()
    loop = asyncio.get_running_loop()
    _open_log_ins[loop] = _open_log_ins.get(loop, 0) + 1
    try:
        device = await ChatCommunicator(await sync_to_async(login_cookie)(user)).connect()
        try:
            yield device
        finally:
            await device.close_all()
    finally:
        _open_log_ins[loop] -= 1
        if not _open_log_ins[loop]:
            await aclose()


def _refuse_transaction() -> None:
    if any(connection.in_atomic_block for connection in connections.all(initialized_only=True)):
        raise RuntimeError(
            "The test is in a transaction, of which the chat's threads see nothing: make it a TransactionTestCase."
        )


async def aclose() -> None:
    """End what this event loop's runtime started: running replies, tasks, threads; write what is queued."""
    await runtime.current().aclose(grace_s=2)


# --- Providers and faults ---------------------------------------------------------------------------------------------


@contextmanager
def answering_provider(*pieces: str) -> Iterator[list[ReplyRequest]]:
    """Every reply that begins meanwhile consists of `pieces`, whatever models there are; yields what was asked."""
    requests: list[ReplyRequest] = []

    async def stream(self: Choice, request: ReplyRequest) -> AsyncIterator[str]:
        requests.append(request)
        for piece in pieces:
            yield piece

    with mock.patch.object(Choice, "stream", stream):
        yield requests


@contextmanager
def failing_provider(exc: Exception, *, after: str = "") -> Iterator[None]:
    """Every reply that begins meanwhile fails with `exc`, after the text `after`."""

    async def stream(self: Choice, request: ReplyRequest) -> AsyncIterator[str]:
        if after:
            yield after
        raise exc

    with mock.patch.object(Choice, "stream", stream):
        yield


@contextmanager
def failing_handler(message: type[protocol.Inbound], exc: Exception) -> Iterator[None]:
    """Every message of this type that is routed meanwhile fails with `exc` in its handler."""

    async def handle(connection: Any, _: Any) -> None:
        raise exc

    with mock.patch.dict(router.HANDLERS, {message: handle}):
        yield


@contextmanager
def failing_registration(exc: Exception) -> Iterator[None]:
    """Every connection that joins a session meanwhile fails with `exc`."""
    with mock.patch.object(sessions, "owned", side_effect=exc):
        yield
