"""Nothing waits for anything it need not wait for: a stalled sender, a slow query, a full outbox."""

from __future__ import annotations

import asyncio
import json
import threading

from chat import jobs, runtime, sessions
from tests.people import ORIGIN


class StalledSocket:
    """A client that reads nothing: every send after the handshake blocks until `resume`."""

    def __init__(self, cookie: str) -> None:
        self.scope = {
            "type": "websocket",
            "path": "/chat/ws",
            "headers": [(b"origin", ORIGIN.encode()), (b"cookie", f"sessionid={cookie}".encode())],
            "query_string": b"",
            "subprotocols": [],
        }
        self.incoming: asyncio.Queue[dict] = asyncio.Queue()
        self.sent: list[dict] = []
        self.accepted = asyncio.Event()
        self.may_send = asyncio.Event()
        self.closed = asyncio.Event()

    async def receive(self) -> dict:
        event = await self.incoming.get()
        self.incoming.task_done()  # the pump came back for this one: all before it are done
        return event

    async def send(self, event: dict) -> None:
        if event["type"] == "websocket.accept":
            self.accepted.set()
            return
        await self.may_send.wait()
        self.sent.append(event)
        if event["type"] == "websocket.close":
            self.closed.set()

    async def run(self) -> None:
        from config.asgi import application

        await application(self.scope, self.receive, self.send)


async def test_the_pump_reads_on_while_the_sender_is_stalled(alice, configure, failures):
    """300 failing messages against a client that never reads: the last one is read, what does not fit is counted.

    An answer that was dropped can never come: once the client reads again it is closed with 4408, and comes back.
    """
    configure(outbox_size=100)
    socket = StalledSocket(alice.cookie)
    task = asyncio.create_task(socket.run())
    await socket.incoming.put({"type": "websocket.connect"})
    await asyncio.wait_for(socket.accepted.wait(), 5)
    for number in range(300):
        text = json.dumps({"type": "nonsense", "ref": f"{number}"})
        await socket.incoming.put({"type": "websocket.receive", "text": text})
    await asyncio.wait_for(socket.incoming.join(), 10)
    assert not task.done()
    (connection,) = runtime.current().connections.values()

    socket.may_send.set()
    await asyncio.wait_for(socket.closed.wait(), 10)
    await socket.incoming.put({"type": "websocket.disconnect", "code": 1000})
    await asyncio.wait_for(task, 5)

    *written, close = socket.sent
    assert close == {"type": "websocket.close", "code": 4408}
    frames = [json.loads(event["text"]) for event in written]
    told = [frame["ref"] for frame in frames if frame["type"] == "error"]
    rows = await failures()
    assert len(rows) == 300
    assert sum(row.deliveries for row in rows) == len(told)
    assert sum(row.drops for row in rows) == 300 - len(told) > 0
    assert told == [row.ref for row in rows if row.deliveries]
    assert runtime.current().connections == {}
    assert connection.session_ids == ()


async def test_a_slow_query_delays_nobody_else(alice, bob, monkeypatch):
    """While one person's query hangs, another connects, is acknowledged and answered."""
    is_released = threading.Event()
    real = sessions.owned

    def slow_for_alice(session_id, user_id):
        if user_id == alice.user_id:
            is_released.wait(10)
        return real(session_id, user_id)

    hers = await alice.connect()
    session_id = (await hers.say("hello", ref="a1"))["session_id"]
    monkeypatch.setattr(sessions, "owned", slow_for_alice)
    stuck = await alice.connect()
    await stuck.send("user_message", content="x", ref="a2", session_id=session_id)

    device = await bob.connect()
    ack = await device.say("hello", ref="b1")
    assert await device.answer(ack["reply_id"])
    assert (await hers.say("me too", ref="a3", session_id=session_id))["seq"]

    is_released.set()
    await stuck.expect("ack", ref="a2")
    for each in (hers, stuck, device):
        await each.close()


async def test_a_query_that_takes_too_long_is_told_as_unknown(alice, configure, monkeypatch, failures):
    """The person hears DATABASE_ERROR within the limit; whether the message is stored, the same ref tells."""
    configure(database_timeout_s=0.3)
    is_released = threading.Event()
    real = jobs.Append.run

    def hang(job, batch):
        is_released.wait(10)
        return real(job, batch)

    device = await alice.connect()
    monkeypatch.setattr(jobs.Append, "run", hang)
    await device.send("user_message", content="hello", ref="r1")
    frame = await device.expect("error", ref="r1")
    assert (frame["error"]["code"], frame["error"]["outcome"]) == ("DATABASE_ERROR", "unknown")
    assert frame["error"]["retry_after"] >= 1
    is_released.set()
    ack = await device.say("hello", ref="r1")
    assert ack["seq"] == 1
    await device.close()
