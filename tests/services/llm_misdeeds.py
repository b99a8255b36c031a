"""How the provider of `llm_server` goes wrong below the format: connections, lengths, encodings, silence."""

from __future__ import annotations

import asyncio
import functools
import gzip
import json
import socket
import struct

from tests.services.llm_speech import CANARY, MIB, TEXT, WHOLE, Writer, chunk, event, head, raw, text_of


async def hang(writer: Writer) -> None:
    """Until the client goes away, or the server is stopped."""
    await asyncio.Event().wait()


async def trickle(writer: Writer) -> None:
    await head(writer)
    while True:
        await event(writer, chunk("drip "))
        await asyncio.sleep(0.02)


async def comments_for_ever(writer: Writer) -> None:
    while True:
        await raw(writer, ": still here\n\n")
        await asyncio.sleep(0.02)


async def reset(writer: Writer) -> None:
    at_once = struct.pack("ii", 1, 0)  # SO_LINGER: RST, where closing alone would be a clean end
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, at_once)
    writer.transport.abort()  # type: ignore[attr-defined]


async def headers_then_reset(writer: Writer) -> None:
    await head(writer)
    await asyncio.sleep(0.05)  # so that they arrive
    await reset(writer)


async def half_a_head(writer: Writer) -> None:
    await raw(writer, "HTTP/1.1 200 OK\r\nContent-Ty")


async def no_http(writer: Writer) -> None:
    await raw(writer, f"SSH-2.0-{CANARY}\r\n")


async def endless_error(writer: Writer) -> None:
    await head(writer, "500 No", "text/html")
    while True:
        await raw(writer, (CANARY + "\n") * 10_000)


async def hanging_error(writer: Writer) -> None:
    await head(writer, "401 No", "application/json", "Content-Length: 100\r\n")
    await raw(writer, '{"error"')
    await hang(writer)


async def chunked_without_end(writer: Writer) -> None:
    await head(writer, more="Transfer-Encoding: chunked\r\n")
    data = text_of(chunk(TEXT)).encode()
    await raw(writer, b"%x\r\n%s\r\n" % (len(data), data))


async def chunked_nonsense(writer: Writer) -> None:
    await head(writer, more="Transfer-Encoding: chunked\r\n")
    await raw(writer, b"zz\r\n")


async def kept_alive(writer: Writer) -> None:
    data = WHOLE.encode()
    await raw(writer, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
    await raw(writer, b"%x\r\n%s\r\n0\r\n\r\n" % (len(data), data))


async def huge_line(writer: Writer) -> None:
    await raw(writer, b"data: " + b"x" * (3 * MIB))
    await hang(writer)


async def bomb(writer: Writer) -> None:
    """16 MiB of one event, in a few KiB."""
    await head(writer, more="Content-Encoding: gzip\r\n")
    await raw(writer, _bomb())


@functools.cache
def _bomb() -> bytes:
    return gzip.compress(b"data: " + b"x" * (16 * MIB), 1)


async def huge_event(writer: Writer) -> None:
    """Many short lines that are all one event."""
    while True:
        await raw(writer, b"data: x\n" * 10_000)


async def gzipped_error(writer: Writer) -> None:
    await head(writer, "429 No", "application/json", "Content-Encoding: gzip\r\nRetry-After: 7\r\n")
    await raw(writer, gzip.compress(json.dumps({"error": {"message": CANARY, "code": "insufficient_quota"}}).encode()))
