"""Strict decode: one text frame in, one typed message out, or one `ChatError` that names the field at fault."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Union

import msgspec
from django.core.exceptions import ImproperlyConfigured
from msgspec import UNSET

from chat import conf, message_types, protocol
from errors.conf import forget_when
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
MAX_REF_CHARS = 64
_ID = re.compile(r"[A-Za-z0-9_-]+")
# At the end: what stands before it quotes input.
_FIELD_AT_FAULT = re.compile(r" - at `(?:key` in `)?\$\.([A-Za-z_]\w*)[^`]*`$")
_MISSING = re.compile(r"Object missing required field `(\w+)`")

Check = Callable[[str, Any], None]  # name of the field, its value; raises ChatError


def decode(text: str | None) -> protocol.Inbound:
    """Return the message in `text`; None is a binary frame.

    Raises:
        ChatError: INVALID_FORMAT, FRAME_TOO_LARGE, UNKNOWN_TYPE, MISSING_FIELD or FIELD_TOO_LONG, with `field` where
            one is at fault.
    """
    if text is None:
        raise ChatError(INVALID_FORMAT, detail="binary frame")
    rules = prepare()
    # A character is one to four bytes: only in between does it need counting.
    if len(text) * 4 > rules.max_frame_bytes and size_of(text) > rules.max_frame_bytes:
        raise ChatError(FRAME_TOO_LARGE, detail=f"{len(text)} characters")
    try:
        # Refuses NaN, Infinity and lone surrogates everywhere, in what it skips too.
        message: protocol.Inbound = rules.decoder.decode(text)
    except msgspec.ValidationError as exc:
        raise _violation(str(exc)) from exc
    except (msgspec.DecodeError, RecursionError, UnicodeError) as exc:
        raise ChatError(INVALID_FORMAT, detail=type(exc).__name__) from exc
    for attribute, name, check in rules.checks[type(message)]:
        value = getattr(message, attribute)
        if value is not UNSET:
            check(name, value)
    return message


def size_of(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def _violation(words: str) -> ChatError:
    """Turn msgspec's sentence into our error. The sentence quotes input, so it stays private."""
    at_fault = _FIELD_AT_FAULT.search(words)
    field = at_fault.group(1) if at_fault else None
    if missing := _MISSING.match(words):
        return ChatError(MISSING_FIELD, field=field or missing.group(1))
    if field == "type":
        code = UNKNOWN_TYPE if words.startswith("Invalid value") else INVALID_FORMAT
        return ChatError(code, field="type", detail=words)
    is_too_long = words.startswith(_TOO_LONG)
    return ChatError(FIELD_TOO_LONG if is_too_long else INVALID_FORMAT, field=field, detail=words)


_TOO_LONG = tuple(f"Expected `{kind}` of length <= " for kind in ("str", "array", "object"))


# --- The table of fields ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TextRule:
    max_chars: int | None  # None: the setting `max_content_chars`
    is_id: bool = False


_TEXT_FIELDS = {
    "ref": TextRule(MAX_REF_CHARS),
    "session_id": TextRule(128, is_id=True),
    "reply_id": TextRule(128, is_id=True),
    "message_id": TextRule(128, is_id=True),
    "model_id": TextRule(128),
    "content": TextRule(None),
}


@dataclass(frozen=True, slots=True)
class Rules:
    """What frames are held to, made once: the settings, the decoder and the checks of each message's fields."""

    max_frame_bytes: int
    decoder: msgspec.json.Decoder[Any]
    checks: dict[type[protocol.Inbound], tuple[tuple[str, str, Check], ...]]


@functools.cache
def prepare() -> Rules:
    """Return the rules of this deployment, the project's own message types among them.

    Raises:
        ImproperlyConfigured: A message type of the project has a field that cannot be decoded.
    """
    kinds = (*protocol.INBOUND, *(kind.message for kind in message_types.own()))
    try:
        decoder = msgspec.json.Decoder(Union[kinds])  # noqa: UP007 -- of a tuple there is no other way to write it
    except (TypeError, NameError) as exc:
        raise ImproperlyConfigured(f"CHAT['message_types']: {exc}") from exc
    checks = {kind: tuple(_checks_of(kind)) for kind in kinds}
    return Rules(conf.chat().max_frame_bytes, decoder, checks)


def _checks_of(kind: type[protocol.Inbound]) -> Iterator[tuple[str, str, Check]]:
    for field in msgspec.structs.fields(kind):
        yield field.name, field.encode_name, _check_of(field.name)


def _check_of(field: str) -> Check:
    if rule := _TEXT_FIELDS.get(field):
        return _text_check(rule.max_chars or conf.chat().max_content_chars, is_id=rule.is_id)
    return _OTHER_FIELDS.get(field) or _own_check(conf.chat().max_content_chars)


def _text_check(max_chars: int, *, is_id: bool) -> Check:
    # Nearly always one line of C calls that agrees. Only what is refused is looked at more closely.
    def check(field: str, value: str) -> None:
        if not 0 < len(value) <= max_chars or "\x00" in value or value.isspace():
            raise _text_violation(field, value, max_chars)

    def check_id(field: str, value: str) -> None:
        if len(value) > max_chars or not _ID.fullmatch(value):
            raise _text_violation(field, value, max_chars)

    return check_id if is_id else check


def _text_violation(field: str, value: str, max_chars: int) -> ChatError:
    if not value or value.isspace():
        return ChatError(MISSING_FIELD, field=field, detail="empty")
    if len(value) > max_chars:
        return ChatError(FIELD_TOO_LONG, field=field, detail=f"{len(value)} characters")
    return ChatError(INVALID_FORMAT, field=field, detail="NUL" if "\x00" in value else "not an id")


def _check_seq(field: str, value: int) -> None:
    if not 0 <= value <= MAX_INTEGER:
        raise ChatError(INVALID_FORMAT, field=field, detail="out of range")


def _check_metadata(field: str, metadata: protocol.Metadata) -> None:
    if len(metadata) > _MAX_METADATA_KEYS:
        raise ChatError(FIELD_TOO_LONG, field=field, detail=f"{len(metadata)} keys")
    for key, value in metadata.items():
        text, number = (value, 0) if isinstance(value, str) else ("", value or 0)
        if len(key) > _MAX_METADATA_KEY_CHARS or len(text) > _MAX_METADATA_VALUE_CHARS:
            raise ChatError(FIELD_TOO_LONG, field=field, detail="a key or value")
        if not abs(number) <= MAX_INTEGER or "\x00" in key or "\x00" in text:
            raise ChatError(INVALID_FORMAT, field=field, detail="a key or value")


_OTHER_FIELDS: dict[str, Check] = {"metadata": _check_metadata, "last_seq": _check_seq}


def _own_check(max_chars: int) -> Check:
    """What holds for every field of a project's own message, at any depth; its struct may be stricter."""

    def check(field: str, value: Any) -> None:
        waiting = [value]
        while waiting:
            match waiting.pop():
                case str() as text:
                    if len(text) > max_chars:
                        raise ChatError(FIELD_TOO_LONG, field=field, detail=f"{len(text)} characters")
                    if "\x00" in text:
                        raise ChatError(INVALID_FORMAT, field=field, detail="NUL")
                case int() | float() as number:
                    if not abs(number) <= MAX_INTEGER:
                        raise ChatError(INVALID_FORMAT, field=field, detail="out of range")
                case dict() as members:
                    waiting += [*members.keys(), *members.values()]
                case list() | tuple() | set() | frozenset() as items:
                    waiting += items
                case msgspec.Struct() as struct:
                    waiting += msgspec.structs.astuple(struct)

    return check


forget_when(("CHAT",), prepare.cache_clear)
