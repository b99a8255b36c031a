"""People in tests, and their connections over the Channels communicator through `config.asgi.application`."""

from __future__ import annotations

import json
from collections import deque
from dataclasses import dataclass, replace
from typing import Any

import msgspec
from channels.testing import WebsocketCommunicator
from django.contrib.auth import get_user_model
from django.test import Client

from chat import protocol

ORIGIN = "http://testserver"


@dataclass(frozen=True)
class Person:
    name: str
    user_id: str
    cookie: str
    client: Client

    def elsewhere(self) -> Person:
        """The same person, signed in on another browser."""
        client = Client()
        client.force_login(get_user_model().objects.get(pk=self.user_id))
        return replace(self, cookie=client.cookies["sessionid"].value, client=client)

    async def connect(self, **headers: str) -> Device:
        """Open a socket as the person's browser would and return it once it has its `connection_status`."""
        device = Device(self.cookie, headers)
        await device.open()
        device.status = await device.expect("connection_status")
        return device


class Device:
    """One socket. `expect` finds a frame by what it holds, and leaves the others for later."""

    def __init__(self, cookie: str | None, headers: dict[str, str] | None = None) -> None:
        from config.asgi import application

        lines = {"origin": ORIGIN, **(headers or {})}
        if cookie is not None:
            lines["cookie"] = f"sessionid={cookie}"
        self.communicator = WebsocketCommunicator(
            application,
            "/chat/ws",
            headers=[(name.encode(), value.encode()) for name, value in lines.items() if value],
            subprotocols=["chat.v1"],
        )
        self.status: dict[str, Any] = {}
        self._waiting: deque[dict[str, Any]] = deque()

    async def open(self) -> tuple[bool, Any]:
        return await self.communicator.connect(timeout=5)

    async def send(self, type: str, **fields: Any) -> None:
        await self.send_text(json.dumps({"type": type, **fields}))

    async def send_text(self, text: str) -> None:
        await self.communicator.send_input({"type": "websocket.receive", "text": text})

    async def send_bytes(self, data: bytes) -> None:
        await self.communicator.send_input({"type": "websocket.receive", "bytes": data})

    async def expect(self, type: str, *, timeout: float = 5, **fields: Any) -> dict[str, Any]:
        """Return the first frame of this type with these fields; every frame on the way is checked by its struct."""
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

    async def expect_close(self, timeout: float = 5) -> int:
        while True:
            event = await self.communicator.receive_output(timeout)
            if event["type"] == "websocket.close":
                return event.get("code", 1000)
            self._waiting.append(_checked(event["text"]))

    async def rest(self) -> list[dict[str, Any]]:
        """Every frame that came and was not expected: what was sent before a `ping` is answered."""
        ref = f"rest-{id(self)}-{len(self._waiting)}"
        await self.send("ping", ref=ref)
        await self.expect("pong", ref=ref)
        frames, self._waiting = list(self._waiting), deque()
        return frames

    async def say(self, content: str, *, ref: str, **fields: Any) -> dict[str, Any]:
        """Send a message and return its `ack`."""
        await self.send("user_message", content=content, ref=ref, **fields)
        return await self.expect("ack", ref=ref)

    async def answer(self, reply_id: str, timeout: float = 20) -> str:
        """Read a reply to its end and return its text."""
        text = ""
        while True:
            frame = await self.expect("ai_response", reply_id=reply_id, timeout=timeout)
            assert frame["offset"] == len(text)
            text += frame["content"]
            if frame["metadata"]["done"] == "true":
                assert frame["content_length"] == len(text)
                return text

    async def close(self) -> None:
        await self.communicator.disconnect()

    async def _next(self, timeout: float) -> dict[str, Any]:
        event = await self.communicator.receive_output(timeout)
        assert event["type"] == "websocket.send", f"the socket closed: {event}"
        return _checked(event["text"])


def _checked(text: str) -> dict[str, Any]:
    """Every frame decodes with the protocol's own struct for it, and has a time and a sender."""
    msgspec.json.decode(text, type=protocol.Frame)
    frame = json.loads(text)
    assert frame["timestamp"], frame
    assert frame["sender"], frame
    return frame
