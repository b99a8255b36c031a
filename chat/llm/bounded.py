"""Bounds what is read of a provider's response: the SDK gathers an event, and an error's body, whole before it looks.

Imported with the SDK, not before: it needs the SDK's transport.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import cast

import httpx2

from chat.llm.turns import Turns

_MAX_EVENT_BYTES = 1_048_576  # bytes; real events have hundreds
_MAX_ERROR_BYTES = 65_536  # bytes of an error's body; the reason is in the first few hundred
_ERROR_BODY_S = 2.0  # seconds that an error's body may take: its status is known
_SLICE_BYTES = 65_536  # bytes decompressed at a time
_READ_BYTES = 2048  # bytes that are read between two looks at the time: some dozen events, or hundreds of empty lines
_EVENT_ENDS = (b"\n\n", b"\n\r\n", b"\r\r")


async def bound(response: httpx2.Response) -> None:
    """A response hook of the transport's client.

    Raises:
        httpx2.DecodingError: Compressed in a way that was not asked for and that we cannot bound.
    """
    stream = cast("httpx2.AsyncByteStream", response.stream)
    encoding = response.headers.get("content-encoding", "identity").strip().lower()
    if encoding in {"gzip", "x-gzip", "deflate"}:
        stream = Inflated(stream)
        del response.headers["content-encoding"]
    elif encoding not in {"identity", ""}:
        raise httpx2.DecodingError("a content-encoding that was not asked for", request=response.request)
    response.stream = Bounded(stream) if response.is_success else Excerpt(stream)


class _Wrapped(httpx2.AsyncByteStream):
    def __init__(self, stream: httpx2.AsyncByteStream) -> None:
        self._stream = stream

    async def aclose(self) -> None:
        await self._stream.aclose()


class Bounded(_Wrapped):
    """A stream of events; raises `httpx2.ReadError` at one that is too long.

    A server that talks without a pause keeps nobody waiting: what comes is handed on a little at a time.
    """

    async def __aiter__(self) -> AsyncIterator[bytes]:
        turns = Turns()
        event_bytes = 0
        tail = b""  # an event's end may be cut in two
        async for data in self._stream:
            seam = tail + data
            end = max(seam.rfind(mark) for mark in _EVENT_ENDS)
            event_bytes = event_bytes + len(data) if end == -1 else len(seam) - end
            tail = seam[-2:]
            if event_bytes > _MAX_EVENT_BYTES:
                raise httpx2.ReadError(f"an event of more than {_MAX_EVENT_BYTES} bytes")
            for start in range(0, len(data), _READ_BYTES):
                yield data[start : start + _READ_BYTES]
                await turns.give()


class Excerpt(_Wrapped):
    """The beginning of an error's body; ends where it gets long, late or broken."""

    async def __aiter__(self) -> AsyncIterator[bytes]:
        kept = bytearray()
        with suppress(TimeoutError, httpx2.HTTPError):
            async with asyncio.timeout(_ERROR_BODY_S):
                async for data in self._stream:
                    kept += data
                    if len(kept) >= _MAX_ERROR_BYTES:
                        break
        yield bytes(kept[:_MAX_ERROR_BYTES])


class Inflated(_Wrapped):
    """A compressed response, decompressed in slices: a few bytes can stand for gigabytes."""

    async def __aiter__(self) -> AsyncIterator[bytes]:
        inflater = zlib.decompressobj(zlib.MAX_WBITS | 32)  # gzip or zlib
        async for data in self._stream:
            while data:
                try:
                    inflated = inflater.decompress(data, _SLICE_BYTES)
                except zlib.error as exc:
                    raise httpx2.DecodingError("compressed data that is none") from exc
                if inflated:
                    yield inflated
                data = inflater.unconsumed_tail
