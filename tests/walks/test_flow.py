"""Nothing waits for anything it need not wait for: a stalled sender, a slow query, a full outbox."""

from __future__ import annotations

import asyncio
import functools
import threading
from unittest.mock import Mock

from chat import flow, jobs, runtime, sessions
from chat.models import ChatSession
from chat.outbox import Outbox
from tests.walks.stalled import StalledSocket


async def test_the_pump_reads_on_while_the_sender_is_stalled(alice, configure, failures):
    """300 failing messages against a client that never reads: the last one is read, what does not fit is counted.

    An answer that was dropped can never come: once the client reads again it is closed with 4408, and comes back.
    """
    configure(outbox_size=100)
    socket = await StalledSocket(alice).open()
    for number in range(300):
        await socket.say(type="nonsense", ref=f"{number}")
    await socket.is_heard()
    assert socket.is_running
    (connection,) = runtime.current().connections.values()

    socket.may_send.set()
    await socket.until(type="websocket.close", code=4408)
    await socket.close()

    told = [frame["ref"] for frame in socket.frames if frame["type"] == "error"]
    rows = await failures()
    assert len(rows) == 300
    assert sum(row.deliveries for row in rows) == len(told)
    assert sum(row.drops for row in rows) == 300 - len(told) > 0
    assert told == [row.ref for row in rows if row.deliveries]
    assert runtime.current().connections == {}
    assert connection.session_ids == ()


async def test_who_makes_no_room_is_closed(alice, configure, monkeypatch):
    """The outbox is full and stays full: 4408 after the client's time is over, and nothing of it is left."""
    configure(outbox_size=2, slow_client_s=0.2)
    given_up, give_up = asyncio.Event(), Outbox._give_up
    monkeypatch.setattr(Outbox, "_give_up", lambda outbox: (give_up(outbox), given_up.set()))
    device = await alice.connect()
    session = await ChatSession.objects.acreate(owner_id=alice.user_id, assistant_enabled=False)
    session_id = str(session.pk)
    socket = await StalledSocket(alice).open()
    await socket.say(type="typing_indicator", session_id=session_id)
    await socket.is_heard()
    talking, stalled = runtime.current().connections.values()
    for number in range(4):
        await device.say(f"line {number}", ref=f"r{number}", session_id=session_id)
    await asyncio.wait_for(given_up.wait(), 5)
    socket.may_send.set()
    await socket.until(type="websocket.close", code=4408)
    await socket.close()
    assert list(runtime.current().connections.values()) == [talking]
    assert stalled.session_ids == ()
    await device.close()


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


async def test_middleware_between_the_server_and_us_is_not_passed_by():
    """Flow control takes the server's queue for itself: only where nobody else reads from it."""
    protocol = type(
        "WebSocketProtocol", (), {"__module__": "daphne.ws_protocol", "application_queue": asyncio.Queue()}
    )()

    async def receive():
        return await protocol.application_queue.get()

    async def send(protocol, event): ...

    event = {"type": "websocket.connect"}
    protocol.application_queue.put_nowait(event)
    between = flow.of(receive, functools.partial(send, protocol))
    assert type(between) is flow.Flow
    assert await between.receive() == event


async def test_who_waits_for_room_hears_that_the_client_is_gone():
    """A client that vanished makes no room any more; and what it said to be let in is not kept."""
    protocol = Mock(application_queue=asyncio.Queue(), maxFramePayloadSize=0, maxMessagePayloadSize=0)
    protocol.clean_headers, protocol.http_headers = [(b"cookie", b"sessionid=canary")], {"cookie": "sessionid=canary"}
    held = flow.DaphneFlow(protocol)
    held.forget_handshake()
    assert (protocol.clean_headers, protocol.http_headers, protocol.http_request_data) == ([], {}, b"")
    held.hold(flow.Hold.OUTBOX)
    held.pauseProducing()
    waiting = [asyncio.create_task(held.receive()), asyncio.create_task(held.wait_until_writable())]
    await asyncio.sleep(0)
    assert not any(task.done() for task in waiting)
    gone = {"type": "websocket.disconnect", "code": 1006}
    protocol.application_queue.put_nowait(gone)
    assert await asyncio.wait_for(asyncio.gather(*waiting), 5) == [gone, None]
