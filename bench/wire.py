"""WebSocket frames by hand, as a load client wants them: masked once per template, read without a copy.

Only what daphne sends is understood: unfragmented text, close and ping. No extension.
"""

from __future__ import annotations

from collections.abc import Callable

TEXT, CLOSE, PING, PONG = 1, 8, 9, 10

_MASK = b"\x5a\x91\x3c\xe7"  # any key will do on loopback; a fixed one makes masking a template possible
_NUMBER_LENGTH = 10  # digits of the number that makes the messages of a template different

OnText = Callable[[bytes, int, int], None]
OnControl = Callable[[int, bytes], None]


def header(opcode: int, length: int, *, masked: bool = True) -> bytes:
    """The first bytes of an unfragmented frame, without the masking key."""
    bit = 0x80 if masked else 0
    if length < 126:
        return bytes((0x80 | opcode, bit | length))
    if length < 65_536:
        return bytes((0x80 | opcode, bit | 126)) + length.to_bytes(2, "big")
    return bytes((0x80 | opcode, bit | 127)) + length.to_bytes(8, "big")


def mask(payload: bytes, *, at: int = 0) -> bytes:
    """XOR with the key, as if `payload` stood at this offset of the frame's payload. Its own inverse."""
    if not payload:
        return b""
    turned = _MASK[at % 4 :] + _MASK[: at % 4]
    stream = (turned * (len(payload) // 4 + 1))[: len(payload)]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(stream, "big")).to_bytes(len(payload), "big")


def frame(payload: bytes, opcode: int = TEXT) -> bytes:
    """One client frame."""
    return header(opcode, len(payload)) + _MASK + mask(payload)


class Template:
    """A message whose frames differ in one number.

    Args:
        text: The message; `%REF%` stands for the number, which is written with ten digits.
    """

    def __init__(self, text: str) -> None:
        before, _, after = text.encode().partition(b"%REF%")
        length = len(before) + _NUMBER_LENGTH + len(after)
        self._before = header(TEXT, length) + _MASK + mask(before)
        self._number_key = int.from_bytes(mask(bytes(_NUMBER_LENGTH), at=len(before)), "big")
        self._after = mask(after, at=len(before) + _NUMBER_LENGTH)

    def frame(self, number: int) -> bytes:
        """The masked frame of the message with this number."""
        digits = int.from_bytes(b"%010d" % number, "big") ^ self._number_key
        return self._before + digits.to_bytes(_NUMBER_LENGTH, "big") + self._after


class Parser:
    """Cuts a server's bytes into frames. Text is handed over as (buffer, start, stop), nothing is copied for it."""

    def __init__(self, on_control: OnControl) -> None:
        self._rest = b""
        self._on_control = on_control

    def feed(self, data: bytes, on_text: OnText) -> None:
        buffer = self._rest + data if self._rest else data
        at, end = 0, len(buffer)
        while end - at >= 2:
            length, start = buffer[at + 1], at + 2
            if length == 126:
                start = at + 4
                if start > end:
                    break
                length = int.from_bytes(buffer[at + 2 : start], "big")
            elif length == 127:
                start = at + 10
                if start > end:
                    break
                length = int.from_bytes(buffer[at + 2 : start], "big")
            stop = start + length
            if stop > end:
                break
            opcode = buffer[at] & 15
            if opcode == TEXT:
                on_text(buffer, start, stop)
            else:
                self._on_control(opcode, buffer[start:stop])
            at = stop
        self._rest = buffer[at:] if at else buffer
