"""A WebSocket client that reads only when it is told to, and sends as fast as TCP lets it: a bad one, on purpose."""

from __future__ import annotations

import base64
import json
import os
import socket
import struct
import time
from collections.abc import Iterable
from typing import Any

from tests.services.client import SiteClient
from tests.services.process import ServerFailed

_TEXT, _CLOSE, _PING = 0x1, 0x8, 0x9


class RawSocket:
    """Blocking. `with RawSocket(site) as client:` -- shaken hands, with a receive buffer of a few kilobytes."""

    def __init__(self, site: SiteClient, path: str = "/chat/ws", timeout_s: float = 10.0) -> None:
        host, port = site.url.removeprefix("http://").split(":")
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
        self._socket.settimeout(timeout_s)
        self._socket.connect((host, int(port)))
        lines = {
            "Host": f"{host}:{port}",
            "Upgrade": "websocket",
            "Connection": "Upgrade",
            "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode(),
            "Sec-WebSocket-Version": "13",
            "Origin": site.url,
            "Cookie": site.cookies,
        }
        request = f"GET {path} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        self._socket.sendall(request.encode() + b"\r\n")
        self._buffer = b""
        head = self._read_until(b"\r\n\r\n")
        if b" 101 " not in head.partition(b"\r\n")[0]:
            raise ServerFailed(f"the handshake was refused: {head!r}")

    def send(self, **frame: Any) -> None:
        self._socket.sendall(text_frame(json.dumps(frame)))

    def send_in_pieces(self, data: bytes, sizes: Iterable[int]) -> None:
        """Send `data` in pieces of these sizes, each in a packet of its own; the rest at the end."""
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for size in sizes:
            self._socket.sendall(data[:size])
            data = data[size:]
            time.sleep(0.001)  # so that the server reads it by itself
        self._socket.sendall(data)

    def push_through(self, data: bytes, seconds: float) -> int:
        """Send `data` over and over for so long, and return how many bytes TCP took."""
        taken, view = 0, memoryview(data)
        ends = time.monotonic() + seconds
        self._socket.settimeout(0.1)
        while time.monotonic() < ends:
            try:
                sent = self._socket.send(view)
            except TimeoutError:
                continue
            except OSError:
                break
            taken += sent
            view = view[sent:] or memoryview(data)
        self._socket.settimeout(10)
        return taken

    def receive(self) -> dict[str, Any] | int:
        """Read the next text frame, or the code of a close frame (1006: broken off)."""
        while True:
            try:
                kind, payload = self._read_frame()
            except (ConnectionError, EOFError):
                return 1006
            if kind == _TEXT:
                frame: dict[str, Any] = json.loads(payload)
                return frame
            if kind == _CLOSE:
                return int(struct.unpack("!H", payload[:2])[0]) if payload else 1005
            if kind == _PING:
                self._socket.sendall(_frame(0xA, payload))

    def _read_frame(self) -> tuple[int, bytes]:
        first, length = self._read(2)
        if length == 126:
            (length,) = struct.unpack("!H", self._read(2))
        elif length == 127:
            (length,) = struct.unpack("!Q", self._read(8))
        return first & 0x0F, self._read(length)

    def _read(self, count: int) -> bytes:
        while len(self._buffer) < count:
            self._fill()
        data, self._buffer = self._buffer[:count], self._buffer[count:]
        return data

    def _read_until(self, end: bytes) -> bytes:
        while end not in self._buffer:
            self._fill()
        data, _, self._buffer = self._buffer.partition(end)
        return data

    def _fill(self) -> None:
        more = self._socket.recv(65536)
        if not more:
            raise EOFError
        self._buffer += more

    def close(self) -> None:
        self._socket.close()

    def __enter__(self) -> RawSocket:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def text_frame(text: str, mask: bytes = bytes(4)) -> bytes:
    return _frame(_TEXT, text.encode(), mask)


def ping_frame(payload: bytes) -> bytes:
    return _frame(_PING, payload)


def fragments(text: str, at: int) -> bytes:
    """One message in two frames."""
    first = bytearray(_frame(_TEXT, text[:at].encode()))
    first[0] &= 0x7F  # not the last
    return bytes(first) + _frame(0, text[at:].encode())


def _frame(kind: int, payload: bytes, mask: bytes = bytes(4)) -> bytes:
    """A frame of a client; masked with zeros, it can be made once and sent often."""
    length = len(payload)
    if length < 126:
        head = struct.pack("!BB", 0x80 | kind, 0x80 | length)
    elif length < 65_536:
        head = struct.pack("!BBH", 0x80 | kind, 0x80 | 126, length)
    else:
        head = struct.pack("!BBQ", 0x80 | kind, 0x80 | 127, length)
    masked = bytes(byte ^ mask[number % 4] for number, byte in enumerate(payload)) if any(mask) else payload
    return head + mask + masked
