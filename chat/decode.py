"""Strict decode: one text frame in, one typed message out, or one `ChatError` that names the field at fault."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

import msgspec
from msgspec import UNSET

from chat import conf, protocol
from errors.exceptions import ChatError
from errors.taxonomy import (
    FIELD_TOO_LONG,
    FRAME_TOO_LARGE,
    INVALID_FORMAT,
    MISSING_FIELD,
    UNKNOWN_TYPE,
)

MAX_INTEGER = 2**53  # what JavaScript counts exactly
_MAX_METADATA_KEYS = 20
_MAX_METADATA_KEY_CHARS = 64
_MAX_METADATA_VALUE_CHARS = 500
_ID = re.compile(r"[A-Za-z0-9_-]+")
_FIELD_AT_FAULT = re.compile(r" - at `\$\.([A-Za-z_]+)[^`]*`$")  # at the end: what stands before it quotes input

_decoder = msgspec.json.Decoder(protocol.AnyInbound)


@dataclass(frozen=True, slots=True)
class Envelope:
    """What could be read of a frame that is not valid: enough to answer it and to record it."""

    type: str | None = None
    ref: str | None = None
    session_id: str | None = None
    content: str = ""


def decode(text: str | None) -> protocol.Inbound:
    """Return the message in `text`; None is a binary frame.

    Raises:
        ChatError: INVALID_FORMAT, FRAME_TOO_LARGE, UNKNOWN_TYPE, MISSING_FIELD or FIELD_TOO_LONG, with `field` where
            one is at fault.
    """
    if text is None:
        raise ChatError(INVALID_FORMAT, detail="binary frame")
    limit = conf.chat().max_frame_bytes
    # A character is one to four bytes: only in between does it need counting.
    if len(text) > limit or (len(text) * 4 > limit and len(text.encode("utf-8", "surrogatepass")) > limit):
        raise ChatError(FRAME_TOO_LARGE, detail=f"{len(text)} characters")
    try:
        # Refuses NaN, Infinity and lone surrogates everywhere, in what it skips too.
        message: protocol.Inbound = _decoder.decode(text)
    except msgspec.ValidationError as exc:
        raise _violation(str(exc)) from exc
    except (msgspec.DecodeError, RecursionError, UnicodeError) as exc:
        raise ChatError(INVALID_FORMAT, detail=type(exc).__name__) from exc
    _check_fields(message)
    return message


def read_envelope(text: str | None) -> Envelope:
    """Read what can be read of a frame that `decode` refused. Never raises."""
    if text is None or len(text) > conf.chat().max_frame_bytes:
        return Envelope()
    try:
        # More forgiving than what refused the frame: NaN, lone surrogates and integers of any length pass.
        raw = json.loads(text, parse_int=float)
    except (ValueError, RecursionError):
        return Envelope(content=text)
    if not isinstance(raw, dict):
        return Envelope(content=text)
    content = raw.get("content")
    return Envelope(
        type=_short_text(raw.get("type"), 64),
        ref=_short_text(raw.get("ref"), 64),
        session_id=_short_text(raw.get("session_id"), 128),
        content=content if isinstance(content, str) else "",
    )


def _short_text(value: Any, limit: int) -> str | None:
    is_fit = isinstance(value, str) and 0 < len(value) <= limit and value.isprintable()
    return value if is_fit else None


def _violation(words: str) -> ChatError:
    """Turn msgspec's sentence into our word. The sentence quotes input: it stays private."""
    at_fault = _FIELD_AT_FAULT.search(words)
    field = at_fault.group(1) if at_fault else None
    if words.startswith("Object missing required field `type`"):
        return ChatError(MISSING_FIELD, field="type")
    if field == "type":
        code = UNKNOWN_TYPE if words.startswith("Invalid value") else INVALID_FORMAT
        return ChatError(code, field="type", detail=words)
    return ChatError(INVALID_FORMAT, field=field, detail=words)


# --- The table of fields ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TextRule:
    max_chars: int | None  # None: the setting `max_content_chars`
    is_id: bool = False


_TEXT_FIELDS = {
    "ref": TextRule(64),
    "session_id": TextRule(128, is_id=True),
    "reply_id": TextRule(128, is_id=True),
    "message_id": TextRule(128, is_id=True),
    "model_id": TextRule(128),
    "content": TextRule(None),
}
_REQUIRED: dict[type[protocol.Inbound], tuple[str, ...]] = {
    protocol.UserMessage: ("content",),
    protocol.Resume: ("session_id", "last_seq"),
    protocol.Stop: ("reply_id",),
    protocol.Retry: ("message_id",),
    protocol.ModelSelect: ("session_id", "model_id"),
    protocol.TypingIndicator: ("session_id",),
    protocol.Ping: (),
}


def _check_fields(message: protocol.Inbound) -> None:
    for field in _REQUIRED[type(message)]:
        if getattr(message, field) in (UNSET, protocol.ABSENT, ""):
            raise ChatError(MISSING_FIELD, field=field)
    for field in message.__struct_fields__:
        value = getattr(message, field)
        if value is UNSET:
            continue
        if field == "metadata":
            _check_metadata(value)
        elif field == "last_seq":
            if not 0 <= value <= MAX_INTEGER:
                raise ChatError(INVALID_FORMAT, field=field, detail="out of range")
        else:
            _check_text(field, value, _TEXT_FIELDS[field])


def _check_text(field: str, value: str, rule: TextRule) -> None:
    if not value or value.isspace():
        raise ChatError(MISSING_FIELD, field=field, detail="empty")
    if len(value) > (rule.max_chars or conf.chat().max_content_chars):
        raise ChatError(FIELD_TOO_LONG, field=field, detail=f"{len(value)} characters")
    if "\x00" in value:
        raise ChatError(INVALID_FORMAT, field=field, detail="NUL")
    if rule.is_id and not _ID.fullmatch(value):
        raise ChatError(INVALID_FORMAT, field=field, detail="not an id")


def _check_metadata(metadata: protocol.Metadata) -> None:
    if len(metadata) > _MAX_METADATA_KEYS:
        raise ChatError(FIELD_TOO_LONG, field="metadata", detail=f"{len(metadata)} keys")
    for key, value in metadata.items():
        text = value if isinstance(value, str) else ""
        if len(key) > _MAX_METADATA_KEY_CHARS or len(text) > _MAX_METADATA_VALUE_CHARS:
            raise ChatError(FIELD_TOO_LONG, field="metadata", detail="a key or value")
        is_bad_number = isinstance(value, int | float) and not abs(value) <= MAX_INTEGER
        if "\x00" in key or "\x00" in text or is_bad_number:
            raise ChatError(INVALID_FORMAT, field="metadata", detail="a key or value")
