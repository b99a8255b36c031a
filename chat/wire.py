"""The two usual frames of WebSocket (RFC 6455, 5.2), as bytes: whole texts, masked by a client, bare from a server.

Everything else -- pieces of a message, pings, closes, whatever is wrong -- is left to the server's own parser.
"""

from __future__ import annotations

_FINAL_TEXT = 0x81
_MASKED = 0x80
_SHORT, _MEDIUM = 125, 0xFFFF  # bytes; a longer payload has its size in two or eight bytes of its own
_IN_TWO_BYTES, _IN_EIGHT_BYTES = 126, 127


def text_frame(text: str) -> bytes:
    """Return the frame in which a server sends `text`."""
    payload = text.encode()
    size = len(payload)
    if size <= _SHORT:
        head = bytes((_FINAL_TEXT, size))
    elif size <= _MEDIUM:
        head = bytes((_FINAL_TEXT, _IN_TWO_BYTES)) + size.to_bytes(2, "big")
    else:
        head = bytes((_FINAL_TEXT, _IN_EIGHT_BYTES)) + size.to_bytes(8, "big")
    return head + payload


def read_texts(data: bytes, max_bytes: int = _MEDIUM) -> tuple[list[tuple[str, int]], int]:
    """Read the whole masked text frames of up to `max_bytes` (and 65 535) bytes that `data` begins with.

    Returns:
        Each text with the bytes of its payload, and where the first byte of something else stands.
    """
    texts: list[tuple[str, int]] = []
    done = 0
    while len(data) - done > 6 and data[done] == _FINAL_TEXT:
        at, size = done + 2, data[done + 1] - _MASKED
        if size == _IN_TWO_BYTES:
            at, size = done + 4, data[done + 2] << 8 | data[done + 3]
            if size <= _SHORT:
                break  # a size in more bytes than it needs is a fault
        elif not 0 < size <= _SHORT:
            break
        end = at + 4 + size
        if end > len(data) or size > max_bytes:
            break
        mask = data[at : at + 4]
        # As one number each: there is no loop over bytes in Python that would be as quick as a library's.
        key = int.from_bytes((mask * (size // 4 + 1))[:size], "little")
        payload = (int.from_bytes(data[at + 4 : end], "little") ^ key).to_bytes(size, "little")
        try:
            text = payload.decode()
        except UnicodeDecodeError:
            break
        texts.append((text, size))
        done = end
    return texts, done
