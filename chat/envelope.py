"""`Envelope`: what can still be read of a frame that `decode` refused, so that it is answered and recorded."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import msgspec

from chat import decode, protocol

_MAX_TEXTS = 20  # of a refused frame, kept apart from its record
_UNSENDABLE = re.compile("[\x00\ud800-\udfff]")  # NUL, and halves of a character


@dataclass(frozen=True, slots=True)
class Envelope:
    """What could be read of an invalid frame: enough to answer and record it."""

    type: str | None = None
    ref: str | None = None
    session_id: str | None = None
    texts: tuple[str, ...] = ()  # what was said in it


class _Head(msgspec.Struct):
    """The three fields that an answer needs. Raw: a value of a megabyte is not copied."""

    type: msgspec.Raw = msgspec.Raw()
    ref: msgspec.Raw = msgspec.Raw()
    session_id: msgspec.Raw = msgspec.Raw()


_head_decoder = msgspec.json.Decoder(_Head)


def read(text: str | None) -> Envelope:
    """Read what can be read of a frame that `decode` refused, in a few milliseconds at most. Never raises."""
    if text is None:
        return Envelope()
    if len(text) * 4 > decode.prepare().max_frame_bytes and decode.size_of(text) > decode.prepare().max_frame_bytes:
        return _read_head(text)
    try:
        # More forgiving than what refused the frame: NaN and lone surrogates pass.
        raw = json.loads(text)
    except (ValueError, RecursionError):
        return replace(_read_head(text), texts=(text,))  # no JSON, or an integer of more digits than Python reads
    if not isinstance(raw, dict):
        return Envelope(texts=(text,))
    said = protocol.texts_in([value for key, value in raw.items() if key not in _Head.__struct_fields__])
    return Envelope(
        type=_short_text(raw.get("type"), 64),
        ref=_ref(raw.get("ref")),
        session_id=_short_text(raw.get("session_id"), 128),
        texts=tuple(islice(said, _MAX_TEXTS)),
    )


def _read_head(text: str) -> Envelope:
    """What stands at the top of a frame that is strict JSON, whatever its size: one pass that makes no objects."""
    try:
        head = _head_decoder.decode(text)
        return Envelope(
            type=_short_text(_short_value(head.type, 64), 64),
            ref=_ref(_short_value(head.ref, decode.MAX_REF_CHARS)),
            session_id=_short_text(_short_value(head.session_id, 128), 128),
        )
    except (msgspec.DecodeError, RecursionError, UnicodeError):
        return Envelope()


def _short_value(raw: msgspec.Raw, limit: int) -> Any:
    raw_bytes = memoryview(raw)
    # A character takes twelve bytes at most, as a pair of escapes.
    return msgspec.json.decode(raw_bytes) if 0 < len(raw_bytes) <= 12 * limit + 2 else None


def _short_text(value: Any, limit: int) -> str | None:
    is_fit = isinstance(value, str) and 0 < len(value) <= limit and value.isprintable()
    return value if is_fit else None


def _ref(value: Any) -> str | None:
    """What would be taken as a `ref`: the answer must be found by it."""
    is_fit = isinstance(value, str) and 0 < len(value) <= decode.MAX_REF_CHARS and not value.isspace()
    return value if is_fit and not _UNSENDABLE.search(value) else None
