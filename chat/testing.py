"""For tests of a project that uses the chat: people, devices and faults on the Channels communicator.

    async def test_my_handler(alice_user):
        async with log_in(alice_user) as alice:
            ack = await alice.say("hello")
            assert await alice.answer(ack)
            with failing_provider(ChatError(LLM_UNAVAILABLE)):
                await alice.say("and now?")
                error = await alice.expect_error("LLM_UNAVAILABLE")

Everything is real -- the ASGI application, the pipeline, the database, the channel layer -- but for the socket itself.
Wait for frames, never for time. Tests need a database that other threads see (pytest-django: `transactional_db`, a file
for SQLite), and end the event loop's runtime with `aclose()` from here.
"""

from __future__ import annotations

import itertools
import json
from collections import deque
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import Any
from unittest import mock

import msgspec
from asgiref.sync import sync_to_async
from channels.routing import get_default_application
from channels.testing import WebsocketCommunicator
from django.conf import settings
from django.contrib.auth.base_user import AbstractBaseUser
from django.test import Client

from chat import conf, protocol, router, runtime, sessions

Frame = dict[str, Any]
_refs = itertools.count(1)


class ChatCommunicator:
    """One device: a socket, and the frames that came and were not expected yet.

    Args:
        cookie: Value of the login session's cookie; None for somebody who is not signed in.
        headers: Further request headers; `origin` is the first allowed one unless given, and empty for none.

    Attributes:
        received: Every frame that was read so far, expected or not, in the order in which they came.
    """

    def __init__(
        self, cookie: str | None, headers: Mapping[str, str] | None = None, *, path: str | None = None
    ) -> None:
        self.cookie = cookie
        self.status: Frame = {}
        origins = conf.chat().allowed_origins
        lines = {"origin": origins[0] if origins else "", **(headers or {})}
        if cookie is not None:
            lines["cookie"] = f"{settings.SESSION_COOKIE_NAME}={cookie}"
        self._socket = WebsocketCommunicator(
            get_default_application(),
            path or f"{conf.chat().path_prefix}/ws",
            headers=[(name.encode(), value.encode()) for name, value in lines.items() if value],
            subprotocols=[protocol.SUBPROTOCOL],
        )
        self.received: list[Frame] = []
        self._waiting: deque[Frame] = deque()

    # --- Opening and closing ---

    async def open(self, timeout: float = 5) -> tuple[bool, Any]:
        """Shake hands; return whether the socket was accepted, and its subprotocol or close code."""
        return await self._socket.connect(timeout=timeout)

    async def connect(self) -> ChatCommunicator:
        """Shake hands and await `connection_status`, which is kept in `status`."""
        is_accepted, _ = await self.open()
        assert is_accepted, "the handshake was refused: is the origin allowed?"
        self.status = await self.expect("connection_status")
        return self

    async def second_device(self) -> ChatCommunicator:
        """The same login on another tab."""
        return await ChatCommunicator(self.cookie).connect()

    async def close(self) -> None:
        await self._socket.disconnect()

    # --- Saying ---

    async def send(self, type: str, **fields: Any) -> None:
        await self.send_text(json.dumps({"type": type, **fields}))

    async def send_text(self, text: str) -> None:
        """Send a text frame as it is; it need not be JSON."""
        await self._socket.send_input({"type": "websocket.receive", "text": text})

    async def send_bytes(self, data: bytes) -> None:
        await self._socket.send_input({"type": "websocket.receive", "bytes": data})

    async def say(self, content: str, *, ref: str | None = None, **fields: Any) -> Frame:
        """Send a `user_message` and return its `ack`."""
        ref = ref or f"say-{next(_refs)}"
        await self.send("user_message", content=content, ref=ref, **fields)
        return await self.expect("ack", ref=ref)

    # --- Expecting ---

    async def expect(self, type: str, *, timeout: float = 5, **fields: Any) -> Frame:
        """Return the first frame of this type with these fields; others stay for later.

        Raises:
            TimeoutError: None came within `timeout` seconds. The communicator is over then.
            AssertionError: The socket was closed.
        """
        wanted = {"type": type, **fields}
        for frame in self._waiting:
            if wanted.items() <= frame.items():
                self._waiting.remove(frame)
                return frame
        while True:
            frame = await self._next(timeout)
            if wanted.items() <= frame.items():
                return frame
            self._waiting.append(frame)

    async def expect_error(self, code: str, *, timeout: float = 5, **fields: Any) -> dict[str, Any]:
        """Return the `error` object of the next error frame with these fields, which must have this code."""
        frame = await self.expect("error", timeout=timeout, **fields)
        assert frame["error"]["code"] == code, frame
        error: dict[str, Any] = frame["error"]
        return error

    async def expect_close(self, timeout: float = 5) -> int:
        """Return the close code; frames on the way there stay for `expect`."""
        while True:
            event = await self._socket.receive_output(timeout)
            if event["type"] == "websocket.close":
                return int(event.get("code", 1000))
            self._waiting.append(self._note(event["text"]))

    async def answer(self, reply: Frame | str, *, timeout: float = 20) -> str:
        """Read a reply, named by its `ack` or its id, to its end and return the whole text."""
        reply_id = reply if isinstance(reply, str) else reply["reply_id"]
        text = ""
        while True:
            frame = await self.expect("ai_response", reply_id=reply_id, timeout=timeout)
            assert frame["offset"] == len(text), f"a gap: {frame}"
            text += frame["content"]
            if frame["metadata"]["done"] == "true":
                assert frame["content_length"] == len(text)
                return text

    async def rest(self) -> list[Frame]:
        """Return every frame that came before a `ping` was answered, and was not expected."""
        ref = f"rest-{next(_refs)}"
        await self.send("ping", ref=ref)
        await self.expect("pong", ref=ref)
        frames, self._waiting = list(self._waiting), deque()
        return frames

    async def _next(self, timeout: float) -> Frame:
        event = await self._socket.receive_output(timeout)
        assert event["type"] == "websocket.send", f"the socket was closed: {event}"
        return self._note(event["text"])

    def _note(self, text: str) -> Frame:
        self.received.append(frame := _checked(text))
        return frame


def _checked(text: str) -> Frame:
    """Every frame decodes with the protocol's own struct for it, and has a time and a sender."""
    msgspec.json.decode(text, type=protocol.Frame)
    frame: Frame = json.loads(text)
    assert frame["timestamp"], frame
    assert frame["sender"], frame
    return frame


# --- People -----------------------------------------------------------------------------------------------------------


def login_cookie(user: AbstractBaseUser) -> str:
    """Sign `user` in, as a browser of its own, and return the cookie's value. Synchronous."""
    client = Client()
    client.force_login(user)  # type: ignore[arg-type]  # the stubs know this project's user model only
    return str(client.cookies[settings.SESSION_COOKIE_NAME].value)


@asynccontextmanager
async def log_in(user: AbstractBaseUser) -> AsyncIterator[ChatCommunicator]:
    """A connected device of `user`; closed at the end, and the event loop's runtime with it."""
    device = await ChatCommunicator(await sync_to_async(login_cookie)(user)).connect()
    try:
        yield device
    finally:
        await device.close()
        await aclose()


async def aclose() -> None:
    """End what this event loop's runtime started: running replies, tasks, threads; write what is queued."""
    await runtime.current().aclose(grace_s=2)


# --- Faults -----------------------------------------------------------------------------------------------------------


@contextmanager
def failing_provider(exc: Exception, *, after: str = "") -> Iterator[None]:
    """Every reply that begins meanwhile fails with `exc`, after the text `after`."""

    async def stream(self: Any, request: Any) -> AsyncIterator[str]:
        if after:
            yield after
        raise exc

    with mock.patch.object(type(runtime.current().backend), "stream", stream):
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
