"""What is read of a provider's response is handed on a little at a time: a server may talk without a pause."""

from __future__ import annotations

import asyncio
import time

import httpx2
import pytest
from openai._streaming import SSEDecoder

from chat.llm.bounded import Bounded

COMMENTS = b":\n\n" * 20_000  # what the socket gives in one go; the SDK reads past them and says nothing


class Blast(httpx2.AsyncByteStream):
    """What a server sent that is quicker than its reader: it is all there already."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    async def __aiter__(self):
        yield self.data


@pytest.fixture
async def turns():
    """When others had their turn, in monotonic seconds."""
    had = [time.monotonic()]

    async def others():
        while True:
            had.append(time.monotonic())
            await asyncio.sleep(0)

    task = asyncio.create_task(others())
    yield had
    task.cancel()


async def test_whoever_reads_slowly_gives_others_their_turn_in_between(turns):
    read = 0
    async for data in Bounded(Blast(COMMENTS)):
        read += len(data)
        time.sleep(0.006)  # noqa: ASYNC251 -- as decoding takes it, which waits for nothing
    assert read == len(COMMENTS)
    assert len(turns) > 20


async def test_the_sdk_passes_over_comments_a_little_at_a_time(turns):
    """It never comes back to its caller meanwhile, so that nobody else could."""
    began = time.monotonic()
    async for _ in SSEDecoder().aiter_bytes(aiter(Bounded(Blast(COMMENTS * 10)))):
        pass
    took = time.monotonic() - began
    assert len(turns) > min(took / 0.05, 10)


async def test_an_event_in_slices_is_the_event_that_it_was():
    text = "x" * 10_000
    events = [
        event async for event in SSEDecoder().aiter_bytes(aiter(Bounded(Blast(f"data: {text}\r\n\r\n".encode() * 3))))
    ]
    assert [event.data for event in events] == [text] * 3
