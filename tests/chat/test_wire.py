"""What is read past the server's parser is what a parser of another make reads, and nothing else is taken."""

from __future__ import annotations

from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode
from websockets.streams import StreamReader

from chat import wire

TEXTS = st.text(max_size=200) | st.sampled_from([125, 126, 127, 65_535, 65_536, 70_000]).map(lambda size: "x" * size)
FRAMES = st.builds(
    Frame,
    opcode=st.sampled_from([Opcode.TEXT] * 6 + [Opcode.BINARY, Opcode.CONT]),
    data=TEXTS.map(str.encode) | st.binary(max_size=20),
    fin=st.sampled_from([True, True, True, False]),
) | st.builds(Frame, opcode=st.sampled_from([Opcode.PING, Opcode.PONG]), data=st.binary(max_size=125))
MASKS = st.binary(min_size=4, max_size=4)


def masked(frame: Frame, mask: bytes) -> bytes:
    with patch("websockets.frames.secrets.token_bytes", return_value=mask):
        return frame.serialize(mask=True)


def parse(data: bytes) -> list[Frame]:
    """The whole frames in `data`."""
    reader = StreamReader()
    reader.feed_data(data)
    frames: list[Frame] = []
    while True:
        parsing = Frame.parse(reader.read_exact, mask=True)
        try:
            next(parsing)
            return frames  # it asks for more
        except StopIteration as done:
            frames.append(done.value)


@given(st.lists(st.tuples(FRAMES, MASKS), max_size=6), st.data())
def test_texts_and_what_is_left_are_the_whole(frames, data):
    sent = b"".join(masked(frame, mask) for frame, mask in frames)
    arrived = sent[: data.draw(st.integers(0, len(sent)))]
    texts, end = wire.read_texts(arrived)
    taken = [Frame(Opcode.TEXT, text.encode()) for text, _ in texts]
    assert taken + parse(arrived[end:]) == parse(arrived)
    assert [size for _, size in texts] == [len(frame.data) for frame in taken]


@pytest.mark.parametrize(
    "begin",
    [
        bytes((0x81, 5)) + b"hello",  # not masked
        bytes((0xC1, 0x85)) + bytes(4) + b"hello",  # compressed, or of another extension
        bytes((0x01, 0x85)) + bytes(4) + b"hello",  # the first piece of a message
        bytes((0x81, 0xFE, 0, 5)) + bytes(4) + b"hello",  # a size in more bytes than it needs
        bytes((0x81, 0x82)) + bytes(4) + b"\xc3\x28",  # no UTF-8
        bytes((0x81, 0x83)) + bytes(4) + b"\xed\xa0\x80",  # half of a surrogate pair
        bytes((0x89, 0x80)) + bytes(4),
    ],
)
def test_what_is_not_usual_is_left_alone(begin):
    usual = masked(Frame(Opcode.TEXT, b"before"), b"mask")
    assert wire.read_texts(begin) == wire.read_texts(begin + usual) == ([], 0)
    assert wire.read_texts(usual + begin) == ([("before", 6)], len(usual))
