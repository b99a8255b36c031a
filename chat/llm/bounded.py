"""Bounds the lines of a provider's response: the SDK gathers a line whole before it looks at it.

Imported with the SDK, not before: it needs the SDK's transport.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import cast

import httpx2

_MAX_LINE_BYTES = 1_048_576  # bytes; real lines have hundreds


async def bound_lines(response: httpx2.Response) -> None:
    """A response hook of the transport's client."""
    response.stream = BoundedLines(cast("httpx2.AsyncByteStream", response.stream))


class BoundedLines(httpx2.AsyncByteStream):
    """A response's bytes; raises `httpx2.ReadError` at a line that is too long."""

    def __init__(self, stream: httpx2.AsyncByteStream) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        line_bytes = 0
        async for data in self._stream:
            newline = data.rfind(b"\n")
            line_bytes = line_bytes + len(data) if newline == -1 else len(data) - newline - 1
            if line_bytes > _MAX_LINE_BYTES:
                raise httpx2.ReadError(f"a line of more than {_MAX_LINE_BYTES} bytes")
            yield data

    async def aclose(self) -> None:
        await self._stream.aclose()
