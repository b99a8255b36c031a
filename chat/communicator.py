"""`ChatCommunicator`: a device in tests, on the Channels communicator. Tests import it from `chat.testing`."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Mapping
from typing import Any

import msgspec
from channels.routing import get_default_application
from channels.testing import WebsocketCommunicator
from django.conf import settings

from chat import conf, protocol
from chat.frame_history import Frame, history, told

_refs = itertools.count(1)

_ENDS = {"resume": "resumed", "ping": "pong"}  # what a request ends in, where it is no `ack`


class ChatCommunicator:
    """One device: a socket, and the frames that arrived and no `expect` has consumed yet.

    Args:
        cookie: Value of the login session's cookie, as `login_cookie` returns it; None for somebody not signed in.
        headers: Further request headers; `origin` is the first allowed one unless given, and empty for none.
        path: Where the socket is opened; the chat's own address unless given.

    Attributes:
        status: The `connection_status` that `connect` read.
        received: Every frame that was read so far, expected or not, in the order of arrival.
    """

    def __init__(
        self, cookie: str | None, headers: Mapping[str, str] | None = None, *, path: str | None = None
    ) -> None:
        self.cookie = cookie
        self.status: Frame = {}
        self._login = [self]  # every device of it
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
        self._waiting: list[Frame] = []
        self._closed: Frame | None = None

    # --- Opening and closing ---

    async def open(self, timeout: float = 5) -> tuple[bool, Any]:
        """Shake hands; return whether the socket was accepted, and its subprotocol or close code."""
        await self._socket.send_input({"type": "websocket.connect"})
        self._socket.future.add_done_callback(lambda _: self._socket.output_queue.put_nowait(None))
        event = await self._event("the answer to the handshake", timeout, _now() + timeout)
        if event["type"] == "websocket.close":
            return False, event.get("code", 1000)
        return True, event.get("subprotocol")

    async def connect(self) -> ChatCommunicator:
        """Shake hands and await `connection_status`, which is kept in `status`."""
        is_accepted, _ = await self.open()
        assert is_accepted, "the handshake was refused: is the origin allowed?"
        self.status = await self.expect("connection_status")
        return self

    async def second_device(self) -> ChatCommunicator:
        """The same login on another tab, or on this one again after `close`; the block of `log_in` closes it, too."""
        device = ChatCommunicator(self.cookie)
        device._login = self._login
        self._login.append(device)
        return await device.connect()

    async def close(self) -> None:
        """Close the socket and await the application's end; closing again does nothing."""
        if not self._socket.future.done():
            await self._socket.disconnect()
        elif not self._socket.future.cancelled():
            self._socket.future.result()  # what it died of, if it did

    async def close_all(self) -> None:
        """Close every device of this login: the first one and what `second_device` made."""
        await asyncio.gather(*(device.close() for device in self._login))

    # --- Saying ---

    async def send(self, type: str, **fields: Any) -> None:
        await self.send_text(json.dumps({"type": type, **fields}))

    async def send_text(self, text: str) -> None:
        """Send a text frame as it is; it need not be JSON."""
        await self._socket.send_input({"type": "websocket.receive", "text": text})

    async def send_bytes(self, data: bytes) -> None:
        await self._socket.send_input({"type": "websocket.receive", "bytes": data})

    async def ask(self, type: str, *, ref: str | None = None, **fields: Any) -> Frame:
        """Send a request under a `ref` and return the frame that it ends in: `ack`; for a `resume`, `resumed`.

        Raises:
            AssertionError: It was answered with an `error`, which the text shows with what was recorded.
        """
        ref = ref or f"ask-{next(_refs)}"
        await self.send(type, ref=ref, **fields)
        return await self.expect(_ENDS.get(type, "ack"), ref=ref)

    async def say(self, content: str, *, ref: str | None = None, **fields: Any) -> Frame:
        """Send a `user_message` and return its `ack`. Raises what `ask` raises."""
        return await self.ask("user_message", ref=ref, content=content, **fields)

    # --- Expecting ---

    async def expect(self, type: str, *, timeout: float = 5, **fields: Any) -> Frame:
        """Return the first frame of this type with these fields; others stay for later.

        The fields of an error may be those of its frame or of the `error` object in it.

        Raises:
            AssertionError: None arrived within `timeout` seconds, the socket was closed, or what `fields` name by its
                `ref` or `reply_id` ended in an `error`. The text says what was received instead, and what was recorded
                of each error. The device can still be used, unless it was closed.
        """
        wanted = {"type": type, **fields}
        what, deadline, number = f"{type} {fields or ''}".rstrip(), _now() + timeout, 0
        while True:
            if number == len(self._waiting):
                await self._read(what, timeout, deadline)
            if number == len(self._waiting):
                received = await history(self.received)
                raise AssertionError(f"the socket was closed ({self._closed}) before {what}; {received}")
            frame = self._waiting[number]
            if wanted.items() <= {**frame.get("error", {}), **frame}.items():
                return self._waiting.pop(number)
            if _is_its_error(frame, wanted):
                code = self._waiting.pop(number)["error"]["code"]
                raise AssertionError(f"got {code} instead of {what}: {await told(frame)}")
            number += 1

    async def expect_error(self, code: str, *, timeout: float = 5, **fields: Any) -> dict[str, Any]:
        """Return the `error` object of the next error with these fields, which must have this code."""
        frame = await self.expect("error", timeout=timeout, **fields)
        error: dict[str, Any] = frame["error"]
        if error["code"] != code:
            raise AssertionError(f"got {error['code']} instead of {code}: {await told(frame)}")
        return error

    async def expect_close(self, timeout: float = 5) -> int:
        """Return the close code; frames that arrive before it stay for `expect`."""
        deadline = _now() + timeout
        while self._closed is None:
            await self._read("the close", timeout, deadline)
        return int(self._closed.get("code", 1000))

    async def answer(self, reply: Frame | str, *, timeout: float = 20) -> str:
        """Read a reply, named by its `ack` or its id, to its end and return the whole text.

        Args:
            timeout: Seconds that each frame of the reply may take.

        Raises:
            AssertionError: The reply ended in an `error`, which the text shows; or there was a gap in the text.
        """
        reply_id = reply if isinstance(reply, str) else reply["reply_id"]
        text = ""
        while True:
            frame = await self.expect("ai_response", reply_id=reply_id, timeout=timeout)
            if frame["offset"] != len(text):
                raise AssertionError(f"a gap after {len(text)} characters: {await told(frame)}")
            text += frame["content"]
            if frame["metadata"]["done"] == "true":
                assert frame["content_length"] == len(text)
                return text

    async def rest(self) -> list[Frame]:
        """Return the frames that arrived before a `ping` was answered and that no `expect` has consumed."""
        await self.ask("ping")
        frames, self._waiting = self._waiting, []
        return frames

    async def _read(self, what: str, timeout: float, deadline: float) -> None:
        """Read one more frame, or the close, after which there is nothing to read."""
        if self._closed is not None:
            return
        event = await self._event(what, timeout, deadline)
        if event["type"] == "websocket.close":
            self._closed = event
        else:
            self._waiting.append(_checked(event["text"]))
            self.received.append(self._waiting[-1])

    async def _event(self, what: str, timeout: float, deadline: float) -> Frame:
        """Return what the application sends next.

        It is taken from the queue: the communicator's `receive_output` cancels the application when the time is up.

        Raises:
            AssertionError: Nothing was sent until `deadline`, or the application has ended; the text names `what`.
        """
        queue, application = self._socket.output_queue, self._socket.future
        event: Frame | None = None
        if not (application.done() and queue.empty()):
            try:
                async with asyncio.timeout_at(deadline):
                    event = await queue.get()
            except TimeoutError:
                raise AssertionError(f"waited {timeout:g} s for {what}; {await history(self.received)}") from None
        if event is None:
            if not application.cancelled():
                application.result()  # raises what it died of
            raise AssertionError(f"the application ended before {what}; {await history(self.received)}")
        return event


def _now() -> float:
    return asyncio.get_running_loop().time()


def _is_its_error(frame: Frame, wanted: Frame) -> bool:
    """Whether the request or the reply of which a frame is wanted has ended in this error: it will not come."""
    if frame["type"] != "error" or wanted["type"] == "error":
        return False
    return any(name in wanted and frame.get(name) == wanted[name] for name in ("ref", "reply_id"))


def _checked(text: str) -> Frame:
    """Return the frame, which must decode with the protocol's own struct for it and have a time and a sender."""
    msgspec.json.decode(text, type=protocol.Frame)
    frame: Frame = json.loads(text)
    assert frame["timestamp"], frame
    assert frame["sender"], frame
    return frame
