"""`ChatCommunicator`: a device in tests, on the Channels communicator. Tests import it from `chat.testing`."""

from __future__ import annotations

import asyncio
import itertools
import json
import textwrap
from collections.abc import Mapping
from typing import Any

import msgspec
from channels.routing import get_default_application
from channels.testing import WebsocketCommunicator
from django.conf import settings

from chat import conf, protocol

Frame = dict[str, Any]
_refs = itertools.count(1)

# What a failed expectation shows of the frames received.
_SHOWN_LINES = 12  # the last ones
_SHOWN_CHARS = 300  # of each
_UNSHOWN = {"timestamp", "sender"}


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
        """The same login on another tab."""
        return await ChatCommunicator(self.cookie).connect()

    async def close(self) -> None:
        """Close the socket and await the application's end; closing again does nothing."""
        if not self._socket.future.done():
            await self._socket.disconnect()
        elif not self._socket.future.cancelled():
            self._socket.future.result()  # what it died of, if it did

    # --- Saying ---

    async def send(self, type: str, **fields: Any) -> None:
        await self.send_text(json.dumps({"type": type, **fields}))

    async def send_text(self, text: str) -> None:
        """Send a text frame as it is; it need not be JSON."""
        await self._socket.send_input({"type": "websocket.receive", "text": text})

    async def send_bytes(self, data: bytes) -> None:
        await self._socket.send_input({"type": "websocket.receive", "bytes": data})

    async def say(self, content: str, *, ref: str | None = None, **fields: Any) -> Frame:
        """Send a `user_message` and return its `ack`.

        Raises:
            AssertionError: It was answered with an `error`, which the text shows.
        """
        ref = ref or f"say-{next(_refs)}"
        await self.send("user_message", content=content, ref=ref, **fields)
        return await self._first({"type": "ack", "ref": ref}, 5, unless={"type": "error", "ref": ref})

    # --- Expecting ---

    async def expect(self, type: str, *, timeout: float = 5, **fields: Any) -> Frame:
        """Return the first frame of this type with these fields; others stay for later.

        Raises:
            AssertionError: None arrived within `timeout` seconds, or the socket was closed. The text says what was
                received instead. After a timeout the device can still be used.
        """
        return await self._first({"type": type, **fields}, timeout)

    async def expect_error(self, code: str, *, timeout: float = 5, **fields: Any) -> dict[str, Any]:
        """Return the `error` object of the next error frame with these fields, which must have this code."""
        frame = await self.expect("error", timeout=timeout, **fields)
        assert frame["error"]["code"] == code, f"expected {code}, received {frame}"
        error: dict[str, Any] = frame["error"]
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
            frame = await self._first(
                {"type": "ai_response", "reply_id": reply_id}, timeout, unless={"type": "error", "reply_id": reply_id}
            )
            assert frame["offset"] == len(text), f"a gap: {frame}"
            text += frame["content"]
            if frame["metadata"]["done"] == "true":
                assert frame["content_length"] == len(text)
                return text

    async def rest(self) -> list[Frame]:
        """Return the frames that arrived before a `ping` was answered and that no `expect` has consumed."""
        ref = f"rest-{next(_refs)}"
        await self.send("ping", ref=ref)
        await self.expect("pong", ref=ref)
        frames, self._waiting = self._waiting, []
        return frames

    async def _first(self, wanted: Frame, timeout: float, *, unless: Frame | None = None) -> Frame:
        """Return the first frame that has what is `wanted`; fail at once on one that has what stands in `unless`."""
        fields = {key: value for key, value in wanted.items() if key != "type"}
        what, deadline, number = f"{wanted['type']} {fields or ''}".rstrip(), _now() + timeout, 0
        while True:
            if number == len(self._waiting):
                await self._read(what, timeout, deadline)
            if number == len(self._waiting):
                raise AssertionError(f"the socket was closed ({self._closed}) before {what}; {self._history()}")
            frame = self._waiting[number]
            if wanted.items() <= frame.items():
                return self._waiting.pop(number)
            if unless is not None and unless.items() <= frame.items():
                raise AssertionError(f"got {self._waiting.pop(number)} instead of {what}")
            number += 1

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
                raise AssertionError(f"waited {timeout:g} s for {what}; {self._history()}") from None
        if event is None:
            if not application.cancelled():
                application.result()  # raises what it died of
            raise AssertionError(f"the application ended before {what}; {self._history()}")
        return event

    def _history(self) -> str:
        """What was received, a line for each frame and one for all chunks of a reply that came together."""
        groups = [
            list(group) for _, group in itertools.groupby(self.received, lambda f: (f["type"], f.get("reply_id")))
        ]
        lines = [
            textwrap.shorten(
                json.dumps({key: frames[-1][key] for key in frames[-1] if key not in _UNSHOWN}), _SHOWN_CHARS
            )
            + (f" (the last of {len(frames)})" if len(frames) > 1 else "")
            for frames in groups[-_SHOWN_LINES:]
        ]
        return "\n  ".join(["received:", *lines]) if lines else "received: nothing"


def _now() -> float:
    return asyncio.get_running_loop().time()


def _checked(text: str) -> Frame:
    """Return the frame, which must decode with the protocol's own struct for it and have a time and a sender."""
    msgspec.json.decode(text, type=protocol.Frame)
    frame: Frame = json.loads(text)
    assert frame["timestamp"], frame
    assert frame["sender"], frame
    return frame
