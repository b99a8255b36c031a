"""The hostile frames: what a client may send that is no message, and the answer to each (DESIGN 3, strict decode)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

LIMIT = 131_072  # bytes of one frame
SESSION = "@session@"  # stands for the id of alice's session
WHOLE = ("ref", "session_id")  # what an answer echoes of a frame that could be read
ESCAPED_EMOJI = "\\ud83d\\ude00"


@dataclass(frozen=True)
class Case:
    frame: str | bytes
    code: str
    field: str | None = None
    echo: tuple[str, ...] = WHOLE


def frame(type: str, **fields: Any) -> str:
    return json.dumps({"type": type, "ref": "r1", "session_id": SESSION, **fields})


def padded(size: int, letter: str = "a") -> str:
    """A `ping` of exactly so many bytes, filled up in a field that nobody knows."""
    empty = '{"type": "ping", "ref": "r1", "filling": ""}'
    room = size - len(empty)
    width = len(letter.encode())
    return empty.replace('""', '"' + letter * (room // width) + "a" * (room % width) + '"')


def huge(begin: str, unit: str, end: str = "", *, size: int = 1_000_000) -> str:
    """A frame near the server's own limit, made of many small parts: what is dearest to read."""
    return begin + unit * ((size - len(begin) - len(end)) // len(unit)) + end


def typed(value: str, *, key: str = "unknown") -> str:
    """A message with one more member, written letter by letter."""
    head = json.dumps({"type": "user_message", "ref": "r1", "session_id": SESSION, "content": "hi"})
    return f'{head[:-1]}, "{key}": {value}}}'


NO_OBJECT = {
    "binary": Case(b'{"type": "ping"}', "INVALID_FORMAT", echo=()),
    "empty": Case("", "INVALID_FORMAT", echo=()),
    "whitespace": Case(" \n\t ", "INVALID_FORMAT", echo=()),
    "half an object": Case('{"type": "ping", "ref": "r1"', "INVALID_FORMAT", echo=()),
    "two objects": Case('{"type": "ping"}\n{"type": "ping"}', "INVALID_FORMAT", echo=()),
    "single quotes": Case("{'type': 'ping'}", "INVALID_FORMAT", echo=()),
    "byte order mark": Case('\ufeff{"type": "ping"}', "INVALID_FORMAT", echo=()),
    "control character in a string": Case('{"type": "ping", "ref": "a\nb"}', "INVALID_FORMAT", echo=()),
    "list": Case('[{"type": "ping", "ref": "r1"}]', "INVALID_FORMAT", echo=()),
    "null": Case("null", "INVALID_FORMAT", echo=()),
    "string": Case('"ping"', "INVALID_FORMAT", echo=()),
    "number": Case("1", "INVALID_FORMAT", echo=()),
    "true": Case("true", "INVALID_FORMAT", echo=()),
    "NaN alone": Case("NaN", "INVALID_FORMAT", echo=()),
    "deep lists": Case("[" * 100_000, "INVALID_FORMAT", echo=()),
    "deep objects": Case('{"type":"ping","a":' * 5_000 + "1" + "}" * 5_000, "INVALID_FORMAT", echo=()),
    "deep in an unknown field": Case(typed("[" * 5_000 + "]" * 5_000), "INVALID_FORMAT", echo=()),
}
_HEAD = frame("user_message", content="hi")[:-1]
TOO_LARGE = {
    "one byte over the limit": Case(padded(LIMIT + 1), "FRAME_TOO_LARGE", echo=("ref",)),
    "one byte over in characters of four bytes": Case(padded(LIMIT + 1, "😀"), "FRAME_TOO_LARGE", echo=("ref",)),
    "one byte over in characters of two bytes": Case(padded(LIMIT + 1, "é"), "FRAME_TOO_LARGE", echo=("ref",)),
    "half a mebibyte": Case(padded(524_288), "FRAME_TOO_LARGE", echo=("ref",)),
    "long content, head behind it": Case(
        json.dumps({"content": "a" * 900_000, "type": "user_message", "ref": "r1", "session_id": SESSION}),
        "FRAME_TOO_LARGE",
    ),
    "a megabyte of objects": Case(huge(f'{_HEAD}, "x": [{{}}', ",{}", "]}"), "FRAME_TOO_LARGE"),
    "a megabyte of keys": Case(huge(f"{_HEAD}", ',"a":1', "}"), "FRAME_TOO_LARGE"),
    "a megabyte of escapes": Case(huge(f'{_HEAD}, "x": "', "\\u00e9", '"}'), "FRAME_TOO_LARGE"),
    "a megabyte of digits": Case(huge(f'{_HEAD}, "x": ', "9", "}"), "FRAME_TOO_LARGE"),
    "a megabyte of refs": Case(huge(f"{_HEAD}", ', "ref": "r1"', "}"), "FRAME_TOO_LARGE"),
    "a ref of a megabyte": Case(huge('{"type": "ping", "ref": "', "a", '"}'), "FRAME_TOO_LARGE", echo=()),
    "a megabyte that ends too soon": Case(huge(f'{_HEAD}, "x": "', "a"), "FRAME_TOO_LARGE", echo=()),
    "a megabyte of brackets": Case("[" * 1_000_000, "FRAME_TOO_LARGE", echo=()),
    "a megabyte of deep objects": Case(huge("", '{"a":'), "FRAME_TOO_LARGE", echo=()),
    "a megabyte of quotes": Case('"' * 1_000_000, "FRAME_TOO_LARGE", echo=()),
    "a megabyte of backslashes": Case('"' + "\\" * 999_999, "FRAME_TOO_LARGE", echo=()),
    "a megabyte of a list": Case(huge("[1", ",1", "]"), "FRAME_TOO_LARGE", echo=()),
}
VALUES = {
    "NaN in a known field": Case(typed('{"a": NaN}', key="metadata"), "INVALID_FORMAT"),
    "NaN in an unknown field": Case(typed("NaN"), "INVALID_FORMAT"),
    "Infinity": Case(typed("Infinity"), "INVALID_FORMAT"),
    "-Infinity deep down": Case(typed('[{"a": [-Infinity]}]'), "INVALID_FORMAT"),
    "number beyond every float": Case(typed('{"a": 1e400}', key="metadata"), "INVALID_FORMAT", "metadata"),
    "lone high surrogate in the content": Case(typed('"\\ud800"', key="content"), "INVALID_FORMAT"),
    "lone low surrogate in the metadata": Case(typed('{"a": "\\uDC00"}', key="metadata"), "INVALID_FORMAT"),
    "lone surrogate in an unknown field": Case(typed('["x\\ud83dx"]'), "INVALID_FORMAT"),
    "lone surrogate in a key": Case(typed("1", key="\\udfff"), "INVALID_FORMAT"),
    "lone surrogate in a deep key": Case(typed('{"a": {"\\ud800": 1}}'), "INVALID_FORMAT"),
    "integer of 5000 digits": Case(
        f'{{"type": "resume", "ref": "r1", "session_id": "{SESSION}", "last_seq": {"9" * 5_000}}}',
        "INVALID_FORMAT", "last_seq",
    ),
    "metadata of 5000 digits": Case(typed(f'{{"a": {"9" * 5_000}}}', key="metadata"), "INVALID_FORMAT", "metadata"),
    "metadata beyond 2^53": Case(typed(f'{{"a": {2**53 + 1}}}', key="metadata"), "INVALID_FORMAT", "metadata"),
    "metadata below -2^53": Case(typed(f'{{"a": {-(2**53) - 1}}}', key="metadata"), "INVALID_FORMAT", "metadata"),
    "metadata with NUL": Case(typed('{"a": "\\u0000"}', key="metadata"), "INVALID_FORMAT", "metadata"),
    "metadata key with NUL": Case(typed('{"\\u0000": "a"}', key="metadata"), "INVALID_FORMAT", "metadata"),
    "metadata nested": Case(typed('{"a": {"b": 1}}', key="metadata"), "INVALID_FORMAT", "metadata"),
    "metadata with a list": Case(typed('{"a": []}', key="metadata"), "INVALID_FORMAT", "metadata"),
    "metadata is a list": Case(typed("[]", key="metadata"), "INVALID_FORMAT", "metadata"),
    "metadata is null": Case(typed("null", key="metadata"), "INVALID_FORMAT", "metadata"),
    "metadata of 21 keys": Case(
        typed(json.dumps({str(n): n for n in range(21)}), key="metadata"), "FIELD_TOO_LONG", "metadata"
    ),
    "metadata key of 65 characters": Case(typed(f'{{"{"k" * 65}": 1}}', key="metadata"), "FIELD_TOO_LONG", "metadata"),
    "metadata value of 501 characters": Case(
        typed(f'{{"k": "{"v" * 501}"}}', key="metadata"), "FIELD_TOO_LONG", "metadata"
    ),
    "content of 10 001 emoji": Case(typed(f'"{ESCAPED_EMOJI * 10_001}"', key="content"), "FIELD_TOO_LONG", "content"),
}  # fmt: skip

SERVER_ONLY = (
    "connection_status", "ack", "loading", "ai_response", "error", "notification", "heartbeat", "goodbye", "resumed",
    "pong",
)  # fmt: skip
NOBODYS = (
    "help_request", "admin_join", "admin_leave", "file_upload", "voice_message", "", "USER_MESSAGE", "user_message ",
    "websocket.close", "close", "receive_json", "__class__", "ping\x00", "x - at `$.content`",
    "Object missing required field `type`", "long" * 5_000,
)  # fmt: skip
TYPES = {
    **{f"type {word[:40]!r}": Case(frame(word), "UNKNOWN_TYPE", "type") for word in (*SERVER_ONLY, *NOBODYS)},
    "no type": Case(json.dumps({"ref": "r1", "session_id": SESSION}), "MISSING_FIELD", "type"),
    **{
        f"type {value!r}": Case(frame(value), "INVALID_FORMAT", "type")  # type: ignore[arg-type]
        for value in (1, None, True, ["ping"], {"ping": 1})
    },
}

# Each client message with everything it may carry, and what it must carry.
MESSAGES: dict[str, dict[str, Any]] = {
    "user_message": {"content": "hi", "model_id": "demo", "metadata": {}},
    "resume": {"last_seq": 0},
    "stop": {"reply_id": "a"},
    "retry": {"message_id": "a", "model_id": "demo", "metadata": {}},
    "model_select": {"model_id": "demo"},
    "typing_indicator": {},
    "ping": {},
}
REQUIRED = {
    "user_message": ("content",), "resume": ("session_id", "last_seq"), "stop": ("reply_id",), "retry": ("message_id",),
    "model_select": ("session_id", "model_id"), "typing_indicator": ("session_id",), "ping": (),
}  # fmt: skip
LONGEST = {"ref": 64, "session_id": 128, "reply_id": 128, "message_id": 128, "model_id": 128, "content": 10_000}
IDS = ("session_id", "reply_id", "message_id")


def field_cases(type: str) -> dict[str, Case]:
    """Every way in which one field of this message can be wrong, one at a time."""
    whole = {"type": type, "ref": "r1", "session_id": SESSION, **MESSAGES[type]}
    cases = {}

    def add(name: str, field: str, value: Any, code: str) -> None:
        changed = {**whole, field: value} if value is not None else {k: v for k, v in whole.items() if k != field}
        echo = tuple(key for key in WHOLE if key != field)
        cases[f"{type} {field} {name}"] = Case(json.dumps(changed), code, field, echo)

    for field in REQUIRED[type]:
        add("absent", field, None, "MISSING_FIELD")
    for field in sorted(whole.keys() & LONGEST.keys()):
        for value in (1, True, ["a"], {"a": "b"}):
            add(f"is {value!r}", field, value, "INVALID_FORMAT")
        add("empty", field, "", "MISSING_FIELD")
        add("blank", field, " \t\n\u00a0", "MISSING_FIELD")
        add("too long", field, "a" * (LONGEST[field] + 1), "FIELD_TOO_LONG")
        add("with NUL", field, "a\x00b", "INVALID_FORMAT")
        if field in IDS:
            for value in ("a/b", "../a", "a b", "é", "a\n", "'; --", "{}"):
                add(f"is {value!r}", field, value, "INVALID_FORMAT")
    if "last_seq" in whole:
        for value in (-1, 2**53 + 1, 10**30, 1.5, 1.0, "1", True, [1]):
            add(f"is {value!r}", "last_seq", value, "INVALID_FORMAT")
    return cases


GROUPS = {
    "no object": NO_OBJECT, "too large": TOO_LARGE, "values": VALUES, "types": TYPES,
    **{type: field_cases(type) for type in MESSAGES},
}  # fmt: skip
