"""The person in `make smoke`: one signed-in browser profile, its WebSocket, and what it says and reads there."""

from __future__ import annotations

import itertools
from typing import Any

import msgspec

from chat import protocol
from tests.services.client import SiteClient
from tests.services.websocket import Frame, SocketClient
from tests.smoke_transcript import Transcript

REPLY_TIMEOUT_S = 30.0  # the slowest fault takes ten seconds


class Visitor:
    """Talks in one session. Every frame is checked against the protocol's own struct for it."""

    def __init__(self, site: SiteClient, transcript: Transcript) -> None:
        self.site = site
        self.transcript = transcript
        self.session_id = ""
        self.last_seq = 0
        self._numbers = itertools.count(1)
        self._socket: SocketClient | None = None

    @property
    def socket(self) -> SocketClient:
        assert self._socket is not None, "not connected"
        return self._socket

    async def connect(self) -> Frame:
        """Open the socket and return its `connection_status`."""
        self._socket = await self.site.connect(subprotocols=(protocol.SUBPROTOCOL,))
        return await self.expect("connection_status")

    async def leave(self) -> None:
        if self._socket is not None:
            await self._socket.close()
            self._socket = None

    def new_ref(self) -> str:
        return f"smoke-{next(self._numbers)}"

    async def send(self, type: str, **fields: Any) -> None:
        named = {name: fields[name] for name in ("content", "ref", "last_seq", "metadata") if name in fields}
        self.transcript.sent(" ".join([type, *(f"{name}={value!r}" for name, value in named.items())]))
        await self.socket.send(type=type, **fields)

    async def expect(self, type: str, *, timeout: float = REPLY_TIMEOUT_S, **fields: Any) -> Frame:
        """Await the next frame of this type with these fields, and show it."""
        frame = self._checked(await self.socket.expect(type, timeout, **fields))
        self.transcript.received(frame)
        return frame

    async def say(self, content: str, *, ref: str | None = None) -> Frame:
        """Send a message to the session and return its `ack`."""
        ref = ref or self.new_ref()
        session = {"session_id": self.session_id} if self.session_id else {}
        await self.send("user_message", content=content, ref=ref, **session)
        ack = await self.expect("ack", ref=ref)
        self.session_id = ack["session_id"]
        return ack

    async def read_reply(self, reply_id: str) -> tuple[str, Frame]:
        """Read a reply to its end; return its text and its terminal frame, an `ai_response` or an `error`."""
        text = ""
        while True:
            frame = await self.socket.expect_where(
                lambda frame: frame.get("reply_id") == reply_id and frame["type"] in {"ai_response", "error"},
                f"frame of reply {reply_id}",
                REPLY_TIMEOUT_S,
            )
            self._checked(frame)
            if frame["type"] == "ai_response":
                self._surprise_unless(frame["offset"] == len(text), f"a chunk at {frame['offset']} after {len(text)}")
                text += frame["content"]
                if frame["metadata"]["done"] == "false":
                    continue
            self.last_seq = frame.get("seq", self.last_seq)
            if text:
                self.transcript.read(text)
            self.transcript.received(frame)
            return text, frame

    async def unread_errors(self) -> list[Frame]:
        """Every `error` that came and nobody expected, up to the answer of a `ping`."""
        ref = self.new_ref()
        await self.socket.send(type="ping", ref=ref)
        await self.socket.expect("pong", REPLY_TIMEOUT_S, ref=ref)
        return [frame for frame in self.socket.frames if frame["type"] == "error"]

    def _surprise_unless(self, is_fine: bool, surprise: str) -> None:
        if not is_fine:
            self.transcript.surprise(surprise)

    def _checked(self, frame: Frame) -> Frame:
        try:
            msgspec.convert(frame, protocol.Frame)
        except msgspec.ValidationError as exc:
            self.transcript.surprise(f"a frame that is none of the protocol: {exc}: {frame}")
        self._surprise_unless(bool(frame.get("timestamp")), f"a frame without a time: {frame}")
        return frame
