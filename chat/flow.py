"""Back-pressure on the server's transport, both ways. The one file that knows daphne's Twisted transport.

daphne itself has none: what the application sends is buffered until the client reads it, and what the client sends is
queued until the application takes it. `of` gives a connection its `Flow`; under any other server (and in tests on the
communicator) the transport is out of reach, and `Flow` itself, which holds nothing back, stands in.
"""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import Awaitable, Callable
from enum import Flag, auto
from typing import Any

from chat import wire
from chat.encoded import Encoded

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

_BACKLOG_FRAMES = 64  # frames that wait for the application before the client is held; it takes milliseconds for each
_BACKLOG_BYTES = 262_144  # or bytes: two frames of the largest size that is answered in words
_BUFFER_BYTES = 32_768  # read at once, and written ahead of the client; tiny frames cost fifty times their size
_USUAL_CHARS = 131_072  # at four bytes each still below what daphne refuses to send
_STREAK = 16  # frames taken without a pause, then everybody else has a turn


class Hold(Flag):
    """Why nothing is read from a client."""

    HANDSHAKE = auto()  # the connection is not accepted yet
    BACKLOG = auto()  # frames wait for the application
    OUTBOX = auto()  # frames wait for the client


class Flow:
    """A transport that is out of reach: it is always writable, and reads what it likes."""

    is_writable = True

    def __init__(self, receive: Receive) -> None:
        self.receive = receive

    def write_now(self, frame: Encoded) -> bool:
        """Write a frame without the server's `send`, where that can be; return whether it was."""
        return False

    async def wait_until_writable(self) -> None:
        """Return when the client has read what was written, or is gone."""

    def hold(self, reason: Hold) -> None:
        """Stop reading from the client, until each reason is released."""

    def release(self, reason: Hold) -> None:
        """Read again, unless there is another reason not to."""

    def forget_handshake(self) -> None:
        """Drop what the client said to be let in, its cookie too: idle connections would hold it for hours."""

    def finish(self) -> None:
        """The connection is being closed, or is: hold nothing back any more."""


def of(receive: Receive, send: Any) -> Flow:
    """Return the flow control of the connection that these two callables of the server belong to."""
    protocol: Any = send.args[0] if isinstance(send, functools.partial) and send.args else None
    if type(protocol).__module__ != "daphne.ws_protocol":
        return Flow(receive)
    if getattr(receive, "__self__", None) is not protocol.application_queue:
        return Flow(receive)  # somebody's middleware stands between, and must not be passed by
    return DaphneFlow(protocol)


class DaphneFlow(Flow):
    """daphne's transport. It calls us as its producer when over 32 KiB wait to be written, and when all is written."""

    def __init__(self, protocol: Any) -> None:
        self._protocol = protocol
        self._transport = protocol.transport
        self._arrived: list[tuple[dict[str, Any], int]] = []  # events for the application, and the bytes of each
        self._arriving: asyncio.Future[None] | None = None  # while the application waits for one
        self._waiting_bytes = 0
        self._streak = 0
        self._holds = Hold(0)
        self._opening: asyncio.Future[None] | None = None  # while the gate is closed
        self._releasing: asyncio.Future[None] | None = None  # while `receive` waits for room in the outbox
        self._is_finished = False
        self._parse = protocol.dataReceived
        limits = (protocol.maxFramePayloadSize, protocol.maxMessagePayloadSize)
        self._max_bytes = min([limit for limit in limits if limit], default=_BACKLOG_BYTES)  # 0: none
        self._on_ping = protocol.onPing
        queue = protocol.application_queue
        while not queue.empty():
            self.put_nowait(queue.get_nowait())
        vars(queue).clear()  # who called us holds it to the end: memory that nobody asks for anything
        protocol.application_queue = self
        protocol.dataReceived = self._read
        protocol.onPing = self._answer_ping
        # Not TLS over it, and a Twisted whose buffers are where we look.
        self._is_plain = type(self._transport).__module__ == "twisted.internet.tcp" and not self._transport.TLS
        self._is_plain = self._is_plain and hasattr(self._transport, "_tempDataBuffer")
        self._transport.bufferSize = _BUFFER_BYTES
        self._transport.unregisterProducer()  # the HTTP channel that the handshake came through
        self._transport.registerProducer(self, True)

    # --- Writing ---

    @property
    def is_writable(self) -> bool:  # type: ignore[override]  # a constant where there is no transport
        return self._opening is None

    def write_now(self, frame: Encoded) -> bool:
        # daphne's own way frames the text anew for each connection, by a library that checks every argument: it costs
        # more than the rest of a frame's way. What it refuses, and what is not open or not empty, still goes there.
        protocol = self._protocol
        is_usual = protocol.state == protocol.STATE_OPEN and not protocol.send_queue and len(frame.text) <= _USUAL_CHARS
        if not is_usual or self._opening is not None or self._is_finished:
            return False
        self._write(frame.wire)
        return True

    def _write(self, data: bytes) -> None:
        """Hand bytes to the socket at once where nothing waits before them.

        Twisted's own `write` leaves that to the next turn of the loop: two calls of `epoll_ctl` and the turn, a third
        of what an echo costs. What the socket does not take, and every fault, goes Twisted's way.
        """
        transport = self._transport
        is_idle = self._is_plain and transport.connected and not transport.disconnecting
        if is_idle and not transport.dataBuffer and not transport._tempDataBuffer:
            taken = transport.writeSomeData(data)
            if isinstance(taken, int) and taken > 0:
                data = data[taken:]
            if not data:
                return
        transport.write(data)

    async def wait_until_writable(self) -> None:
        if self._opening is not None:
            await asyncio.shield(self._opening)

    def pauseProducing(self) -> None:
        if self._opening is None and not self._is_finished:
            self._opening = asyncio.get_running_loop().create_future()

    def resumeProducing(self) -> None:
        if self._opening is not None:
            self._opening.set_result(None)
            self._opening = None

    def stopProducing(self) -> None:
        """The client is gone."""
        self.finish()

    def _answer_ping(self, payload: bytes) -> None:
        # A pong goes past the gate. Who reads nothing gets none, however often they ask.
        if self.is_writable:
            self._on_ping(payload)

    # --- Reading ---

    def _read(self, data: bytes) -> None:
        """Take whole texts out of what has arrived, past the server's parser, which costs far more.

        Between two frames only, and while no pong is awaited: the parser notes every sign of life.
        """
        protocol = self._protocol
        is_open = protocol.state == protocol.STATE_OPEN and not self._is_finished
        is_between = is_open and protocol.current_frame is None and not protocol.data and not protocol.inside_message
        if is_between and protocol.autoPingTimeoutCall is None:
            texts, end = wire.read_texts(data, self._max_bytes)
            if texts:
                protocol.last_ping = time.time()  # no ping to somebody who has just been heard
                for text, size in texts:
                    self._arrive({"type": "websocket.receive", "text": text}, size)
                if end == len(data):
                    return
                data = data[end:]
        self._parse(data)

    def put_nowait(self, event: dict[str, Any]) -> None:
        """Take an event from the server: this stands where its queue for the application was."""
        if event["type"] == "websocket.disconnect":
            self._arrive(event, 0)
            self.finish()  # who waits for room, or for the client to read, waits for nobody
        elif event["type"] != "websocket.receive":
            self._arrive(event, 0)
        elif not self._is_finished:
            text = event.get("text")
            self._arrive(event, len(event["bytes"]) if text is None else len(text.encode()))

    def _arrive(self, event: dict[str, Any], size: int) -> None:
        self._arrived.append((event, size))
        self._waiting_bytes += size
        if self._arriving is not None:
            if not self._arriving.done():  # it is when the application was cancelled
                self._arriving.set_result(None)
            self._arriving = None
        if len(self._arrived) >= _BACKLOG_FRAMES or self._waiting_bytes >= _BACKLOG_BYTES:
            self.hold(Hold.BACKLOG)

    async def receive(self) -> dict[str, Any]:
        # What has arrived waits, too, while its answers would find no room: nobody who merely asks fast loses one.
        while Hold.OUTBOX in self._holds:
            if self._releasing is None:
                self._releasing = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._releasing)
        while not self._arrived:
            self._arriving = asyncio.get_running_loop().create_future()
            await self._arriving
        event, size = self._arrived.pop(0)
        self._waiting_bytes -= size
        if len(self._arrived) < _BACKLOG_FRAMES // 2 and self._waiting_bytes < _BACKLOG_BYTES // 2:
            self.release(Hold.BACKLOG)
        self._streak = self._streak + 1 if self._arrived else 0
        if self._streak >= _STREAK:
            self._streak = 0
            await asyncio.sleep(0)
        return event

    def hold(self, reason: Hold) -> None:
        if self._is_finished:
            return
        if not self._holds:
            self._transport.pauseProducing()
        self._holds |= reason

    def release(self, reason: Hold) -> None:
        if reason not in self._holds:
            return
        self._holds &= ~reason
        if reason is Hold.OUTBOX:
            self._wake_receiver()
        if not self._holds:
            self._transport.resumeProducing()

    def _wake_receiver(self) -> None:
        if self._releasing is not None:
            self._releasing.set_result(None)
            self._releasing = None

    # --- The end ---

    def forget_handshake(self) -> None:
        self._protocol.clean_headers.clear()  # the scope's
        self._protocol.http_headers.clear()
        self._protocol.http_request_data = b""

    def finish(self) -> None:
        if self._is_finished:
            return
        self._is_finished = True
        self.resumeProducing()
        if self._holds:
            self._holds = Hold(0)
            self._wake_receiver()
            self._transport.resumeProducing()  # the client's own close frame must be read
        self._transport.unregisterProducer()
        for ours in ("onPing", "dataReceived"):
            self._protocol.__dict__.pop(ours, None)
