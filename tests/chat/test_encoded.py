"""Frames as they are written to the transport, read back by a client of another make."""

from __future__ import annotations

import pytest
from websockets.frames import Frame, Opcode
from websockets.streams import StreamReader

from chat.encoded import Encoded


@pytest.mark.parametrize("size", [1, 125, 126, 127, 65_535, 65_536, 131_072])
def test_a_frame_of_any_size_is_read_as_it_was_written(size):
    frame = Encoded("x" * size, "pong")
    reader = StreamReader()
    reader.feed_data(frame.wire)
    reader.feed_eof()
    parsing = Frame.parse(reader.read_exact, mask=False)
    with pytest.raises(StopIteration) as done:
        next(parsing)
    read = done.value.value
    assert (read.opcode, read.fin, bytes(read.data)) == (Opcode.TEXT, True, b"x" * size)


def test_the_length_is_that_of_the_bytes():
    assert Encoded("\N{WAVING HAND SIGN}" * 40, "pong").wire[:4] == b"\x81\x7e\x00\xa0"


def test_it_is_made_once():
    frame = Encoded("text", "pong")
    assert frame.wire is frame.wire
