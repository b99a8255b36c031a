"""The load client: many WebSockets in one event loop, with as little work per message as Python allows.

Two ways to load a server: in turn (every connection sends when it has its answer; finds the rate that the server can
do) and paced (messages leave at random moments of a given rate, whether answers came or not; finds latencies).
"""

from __future__ import annotations

import asyncio
import base64
import itertools
import os
import random
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass

from bench import machine, wire

CONNECT_AT_ONCE = 40
CONNECT_TIMEOUT_S = 30.0
DRAIN_TIMEOUT_S = 30.0
WARM_UP_S = 0.4
LEAST_PER_CONNECTION = 2  # messages in a window of `in_turn`; slower servers get a longer one
LONGEST = 8  # times as long, at most
CLIENT_BOUND = 0.95  # of its core; above, the client is what was measured

client_shares: list[float] = []  # of every window; whoever reports them clears it
_numbers = itertools.count(1)  # of all messages of a run: a `ref` that comes twice in a session is a duplicate


class ClientBound(RuntimeError):
    """The load client used its whole core, so the row says nothing about the server."""


class TooSlow(RuntimeError):
    """A server gave no answer in the longest window that it can have."""


@dataclass(frozen=True, slots=True)
class Answers:
    """How a server's frames are told apart: by the bytes they begin with."""

    good: bytes
    bad: bytes = b'{"type":"error"'
    broadcast: bytes = b'{"type":"user_message"'  # somebody else's message


class Socket(asyncio.Protocol):
    """One connection. Counts what arrives; `refill`, when set, is called once per answer."""

    def __init__(self, template: wire.Template, answers: Answers, path: str, headers: str) -> None:
        self.template = template
        self.answers = answers
        self.sent = self.good = self.bad = self.broadcasts = 0
        self.last_refusal = b""
        self.close_code: int | None = None
        self.sent_at: deque[float] | None = None  # moments of messages without an answer, when latencies are wanted
        self.latencies: list[float] = []
        self.refill: Callable[[Socket], None] | None = None
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._handshake: bytes | None = b""
        self._request = f"GET {path} HTTP/1.1\r\n{headers}\r\n".encode()
        self._parser = wire.Parser(self._on_control)

    # --- asyncio's side ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        if self._handshake is None:
            self._parser.feed(data, self._on_text)
            return
        self._handshake += data
        head, found, rest = self._handshake.partition(b"\r\n\r\n")
        if not found:
            return
        if not head.startswith(b"HTTP/1.1 101"):
            self.opened.set_exception(ConnectionError(head.partition(b"\r\n")[0].decode()))
            self.transport.close()
            return
        self._handshake = None
        self.opened.set_result(None)
        if rest:
            self._parser.feed(rest, self._on_text)

    def connection_lost(self, exc: Exception | None) -> None:
        if self.close_code is None:
            self.close_code = 1006
        if not self.opened.done():
            self.opened.set_exception(ConnectionError("closed during the handshake"))
        if not self.closed.done():
            self.closed.set_result(None)

    # --- Sending and counting ---

    @property
    def answered(self) -> int:
        return self.good + self.bad

    def send(self) -> None:
        self.sent += 1
        if self.sent_at is not None:
            self.sent_at.append(time.perf_counter())
        self.transport.write(self.template.frame(next(_numbers)))

    def close(self) -> None:
        self.transport.write(wire.frame((1000).to_bytes(2, "big"), wire.CLOSE))

    def _on_text(self, buffer: bytes, start: int, stop: int) -> None:
        if buffer.startswith(self.answers.good, start):
            self.good += 1
        elif buffer.startswith(self.answers.bad, start):
            self.bad += 1
            self.last_refusal = buffer[start:stop]
        else:
            self.broadcasts += buffer.startswith(self.answers.broadcast, start)
            return
        if self.sent_at:
            self.latencies.append(time.perf_counter() - self.sent_at.popleft())
        if self.refill is not None:
            self.refill(self)

    def _on_control(self, opcode: int, payload: bytes) -> None:
        if opcode == wire.PING:
            self.transport.write(wire.frame(payload, wire.PONG))
        elif opcode == wire.CLOSE:
            self.close_code = int.from_bytes(payload[:2], "big") if payload else 1005
            self.transport.write(wire.frame(payload[:2], wire.CLOSE))


@dataclass(frozen=True, slots=True)
class Sample:
    """What one window of load saw."""

    seconds: float
    messages: int  # answered, well or badly
    refused: int
    broadcasts: int  # frames with somebody else's message
    cpu_s: float  # of the server's processes
    client_share: float  # of the client's core

    @property
    def cpu_us(self) -> float:
        """Microseconds of server processor time per message."""
        return self.cpu_s / self.messages * 1e6

    @property
    def per_s(self) -> float:
        return self.messages / self.seconds


class Fleet:
    """The open connections to one server."""

    def __init__(self, pids: Sequence[int]) -> None:
        self.pids = list(pids)
        self.sockets: list[Socket] = []

    async def open(self, port: int, sockets: Iterable[tuple[wire.Template, Answers, str, str]]) -> list[Socket]:
        """Open connections, some at a time.

        Args:
            sockets: Of each one the template, the answers, the path and further request headers.
        """
        gate = asyncio.Semaphore(CONNECT_AT_ONCE)

        async def connect(template: wire.Template, answers: Answers, path: str, headers: str) -> Socket:
            key = base64.b64encode(os.urandom(16)).decode()
            whole = (
                f"Host: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n{headers}"
            )
            async with gate, asyncio.timeout(CONNECT_TIMEOUT_S):
                socket = Socket(template, answers, path, whole)
                await asyncio.get_running_loop().create_connection(lambda: socket, "127.0.0.1", port)
                await socket.opened
                return socket

        opened = list(await asyncio.gather(*(connect(*socket) for socket in sockets)))
        self.sockets += opened
        return opened

    def answered_badly(self) -> int:
        return sum(socket.bad for socket in self.sockets)

    async def close(self) -> None:
        for socket in self.sockets:
            socket.transport.abort()
        await asyncio.sleep(0.1)
        self.sockets.clear()

    # --- Loading ---

    async def in_turn(self, seconds: float, *, sockets: Sequence[Socket] | None = None, window: int = 1) -> Sample:
        """Every connection, or those named, keeps `window` messages without an answer, for this long."""
        for socket in sockets or self.sockets:
            socket.refill = Socket.send
            for _ in range(window):
                socket.send()
        await asyncio.sleep(WARM_UP_S)
        sample = await self.watch(self._until_enough(seconds, len(sockets or self.sockets)))
        for socket in self.sockets:
            socket.refill = None
        await self.drain()
        return sample

    async def settle(self) -> None:
        """One message on every connection, answered."""
        for socket in self.sockets:
            socket.send()
        await self.drain()

    async def _until_enough(self, seconds: float, connections: int) -> None:
        wanted = sum(self._counts()[:2]) + LEAST_PER_CONNECTION * connections
        await asyncio.sleep(seconds)
        for _ in range((LONGEST - 1) * 4):
            if sum(self._counts()[:2]) >= wanted:
                return
            await asyncio.sleep(seconds / 4)

    async def paced(self, seconds: float, per_s: float, *, sockets: Sequence[Socket] | None = None) -> Sample:
        """Messages at random moments (a Poisson stream) of this rate, over the connections in turn.

        Latencies from the moment of sending are left in each socket's `latencies`.
        """
        for socket in self.sockets:
            socket.sent_at, socket.latencies = deque(), []
        sample = await self.watch(self._pace(seconds, per_s, list(sockets or self.sockets)))
        await self.drain()
        for socket in self.sockets:
            socket.sent_at = None
        return sample

    async def _pace(self, seconds: float, per_s: float, sockets: list[Socket]) -> None:
        source = random.Random(7)
        began = now = time.perf_counter()
        due, index = began + source.expovariate(per_s), 0
        while now < began + seconds:
            while due <= now:
                sockets[index % len(sockets)].send()
                index += 1
                due += source.expovariate(per_s)
            await asyncio.sleep(min(0.001, max(0.0, due - time.perf_counter())))
            now = time.perf_counter()

    async def watch(self, load: Awaitable[None]) -> Sample:
        """Await the load and tell what happened meanwhile.

        Raises:
            ClientBound: the client's core was the limit.
            TooSlow: there was not one answer.
        """
        before, client, began = self._counts(), time.process_time(), time.perf_counter()
        cpu = self._cpu_s()
        await load
        cpu, seconds = self._cpu_s() - cpu, time.perf_counter() - began
        client_share = (time.process_time() - client) / seconds
        good, bad, broadcasts = (after - earlier for after, earlier in zip(self._counts(), before, strict=True))
        client_shares.append(client_share)
        if client_share > CLIENT_BOUND:
            raise ClientBound(f"client-bound: the client used {client_share:.0%} of its core")
        if not good + bad:
            raise TooSlow(f"not one answer in {seconds:.1f} s")
        return Sample(seconds, good + bad, bad, broadcasts, cpu, client_share)

    async def drain(self) -> None:
        """Wait until every message has its answer.

        Raises:
            TimeoutError: some have none.
        """
        async with asyncio.timeout(DRAIN_TIMEOUT_S):
            while any(socket.answered < socket.sent and not socket.closed.done() for socket in self.sockets):
                await asyncio.sleep(0.02)

    def _counts(self) -> tuple[int, int, int]:
        sockets = self.sockets
        return sum(s.good for s in sockets), sum(s.bad for s in sockets), sum(s.broadcasts for s in sockets)

    def _cpu_s(self) -> float:
        return sum(machine.cpu_s(pid) for pid in self.pids)
