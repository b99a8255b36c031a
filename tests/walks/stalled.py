"""A connection whose server cannot write, because its client does not read: until it is told to."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from tests.people import ORIGIN, Person


class StalledSocket:
    """Stands where the server stands. Every write after the handshake waits for `may_send`."""

    def __init__(self, person: Person) -> None:
        self.scope = {
            "type": "websocket",
            "path": "/chat/ws",
            "headers": [(b"origin", ORIGIN.encode()), (b"cookie", f"sessionid={person.cookie}".encode())],
            "query_string": b"",
            "subprotocols": [],
        }
        self.incoming: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.sent: list[dict[str, Any]] = []
        self.accepted = asyncio.Event()
        self.may_send = asyncio.Event()
        self._changed = asyncio.Condition()
        self._task: asyncio.Task[None] | None = None

    async def receive(self) -> dict[str, Any]:
        event = await self.incoming.get()
        self.incoming.task_done()  # the pump came back for this one: all before it are done
        return event

    async def send(self, event: dict[str, Any]) -> None:
        if event["type"] == "websocket.accept":
            self.accepted.set()
            return
        await self.may_send.wait()
        async with self._changed:
            self.sent.append(event)
            self._changed.notify_all()

    async def open(self) -> StalledSocket:
        from config.asgi import application

        self._task = asyncio.create_task(application(self.scope, self.receive, self.send))
        await self.incoming.put({"type": "websocket.connect"})
        await asyncio.wait_for(self.accepted.wait(), 5)
        return self

    @property
    def is_running(self) -> bool:
        return self._task is not None and not self._task.done()

    async def say(self, **frame: Any) -> None:
        await self.incoming.put({"type": "websocket.receive", "text": json.dumps(frame)})

    async def is_heard(self) -> None:
        """Wait until the application has dealt with everything that was said."""
        await asyncio.wait_for(self.incoming.join(), 10)

    async def until(self, **fields: Any) -> dict[str, Any]:
        """Wait for a frame with these fields, or for the close event with `code`, among all that was sent."""

        def found() -> list[dict[str, Any]]:
            return [each for each in self.everything if fields.items() <= each.items()]

        async with asyncio.timeout(10), self._changed:
            await self._changed.wait_for(found)
        return found()[0]

    @property
    def everything(self) -> list[dict[str, Any]]:
        return [json.loads(event["text"]) if "text" in event else event for event in self.sent]

    @property
    def frames(self) -> list[dict[str, Any]]:
        return [json.loads(event["text"]) for event in self.sent if "text" in event]

    async def close(self) -> None:
        assert self._task is not None
        await self.incoming.put({"type": "websocket.disconnect", "code": 1000})
        self.may_send.set()
        await asyncio.wait_for(self._task, 5)
