"""The words on the wire: one struct per frame, as `docs/protocol.md` shows them. Knows no sockets and no database.

Lengths and offsets count Unicode code points. Every id is a string. Absent fields are left out.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

import msgspec
from msgspec import UNSET, Struct, UnsetType

from errors.failure import ErrorPayload
from errors.taxonomy import CONNECTION_LIMIT_EXCEEDED

SUBPROTOCOL = "chat.v1"

# Characters of a reply in one frame: written as JSON escapes six bytes each, still below the 1 MiB of the server.
PIECE_CHARS = 100_000

Scalar = str | int | float | bool | None
Metadata = dict[str, Scalar]


def now() -> str:
    """The server's time, RFC 3339 in UTC with milliseconds."""
    return _written(time.time_ns() // 1_000_000)


@functools.lru_cache(maxsize=8)  # under load many frames are of one millisecond
def _written(milliseconds: int) -> str:
    moment = datetime.fromtimestamp(milliseconds // 1000, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{milliseconds % 1000:03}Z"


def rfc3339(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def pieces(content: str, start: int = 0) -> list[tuple[int, str]]:
    """Cut a reply's text, from `start` on, into parts that fit into a frame each: (offset, part). Never empty."""
    offsets = range(start, max(len(content), start + 1), PIECE_CHARS)
    return [(offset, content[offset : offset + PIECE_CHARS]) for offset in offsets]


def texts_in(values: Iterable[Any]) -> Iterator[str]:
    """Yield every text in these, at any depth; of mappings the values only."""
    waiting = list(values)
    while waiting:
        match waiting.pop():
            case str() as text:
                yield text
            case dict() as members:
                waiting += members.values()
            case list() | tuple() | set() | frozenset() as items:
                waiting += items
            case Struct() as struct:
                waiting += msgspec.structs.astuple(struct)


# --- What a client sends. Types and presence are checked here; length and range by the table in `decode.py`. ----------


class Inbound(Struct, frozen=True, kw_only=True, tag_field="type"):
    ref: str | UnsetType = UNSET
    session_id: str | UnsetType = UNSET

    @property
    def type(self) -> str:
        return str(self.__struct_config__.tag)

    @property
    def private_texts(self) -> tuple[str, ...]:
        """What was said: never logged, and replaced wherever an exception quotes it. Here every text but ids."""
        named = [field for field in self.__struct_fields__ if field != "ref" and not field.endswith("_id")]
        return tuple(texts_in([getattr(self, field) for field in named]))


class UserMessage(Inbound, frozen=True, kw_only=True, tag="user_message"):
    content: str
    model_id: str | UnsetType = UNSET
    metadata: Metadata | UnsetType = UNSET

    @property
    def private_texts(self) -> tuple[str, ...]:
        return (self.content,) if self.metadata is UNSET else (self.content, *texts_in([self.metadata]))


class Resume(Inbound, frozen=True, kw_only=True, tag="resume"):
    session_id: str
    last_seq: int


class Stop(Inbound, frozen=True, kw_only=True, tag="stop"):
    reply_id: str


class Retry(Inbound, frozen=True, kw_only=True, tag="retry"):
    message_id: str
    model_id: str | UnsetType = UNSET
    metadata: Metadata | UnsetType = UNSET

    @property
    def private_texts(self) -> tuple[str, ...]:
        return ()  # `mode` is a word of ours


class ModelSelect(Inbound, frozen=True, kw_only=True, tag="model_select"):
    session_id: str
    model_id: str


class TypingIndicator(Inbound, frozen=True, kw_only=True, tag="typing_indicator"):
    session_id: str


class Ping(Inbound, frozen=True, kw_only=True, tag="ping"):
    pass


INBOUND: tuple[type[Inbound], ...] = (UserMessage, Resume, Stop, Retry, ModelSelect, TypingIndicator, Ping)
RESERVED = frozenset(
    {"help_request", "admin_join", "admin_leave", "file_upload", "voice_message"}
)  # for later versions


# --- What the server sends --------------------------------------------------------------------------------------------


class Outbound(Struct, kw_only=True, omit_defaults=True, tag_field="type"):
    sender: str = ""  # user | ai | admin | system, always set by the server
    timestamp: str = ""
    session_id: str | None = None
    ref: str | None = None

    def __post_init__(self) -> None:
        self.sender = self.sender or _SENDERS.get(str(self.__struct_config__.tag), "system")
        self.timestamp = self.timestamp or now()


_SENDERS = {"user_message": "user", "ai_response": "ai", "typing_indicator": "user"}


class ModelInfo(Struct, frozen=True, kw_only=True):
    id: str
    name: str


class Limits(Struct, frozen=True, kw_only=True):
    max_content_chars: int
    max_frame_bytes: int
    messages_per_minute: int


class ReplyState(Struct, kw_only=True, omit_defaults=True):
    """What became of the answer to a message: state pending | streaming | complete | partial | stopped | failed."""

    reply_id: str
    state: str
    error: ErrorPayload | None = None
    continues: str | None = None  # the reply from whose text it goes on: both are one answer


class ConnectionStatus(Struct, kw_only=True, tag_field="type", tag="connection_status"):
    connection_id: str
    user_id: str
    session_id: str | None  # of the user's most recent open session; the one null on the wire
    models: tuple[ModelInfo, ...]
    limits: Limits
    heartbeat_interval: int  # milliseconds
    sender: str = "system"
    timestamp: str = msgspec.field(default_factory=now)


class Ack(Outbound, kw_only=True, tag="ack"):
    message_id: str | None = None
    seq: int | None = None
    reply_id: str | None = None
    duplicate: bool | None = None
    continues: str | None = None


class UserMessageFrame(Outbound, kw_only=True, tag="user_message"):
    content: str
    message_id: str
    seq: int
    client_ref: str | None = None
    model_id: str | None = None
    metadata: Metadata | None = None
    reply: ReplyState | None = None


class Loading(Outbound, kw_only=True, tag="loading"):
    reply_id: str
    in_reply_to: str
    continues: str | None = None


class AiResponse(Outbound, kw_only=True, tag="ai_response"):
    content: str
    reply_id: str
    in_reply_to: str
    continues: str | None = None
    offset: int
    metadata: dict[str, str]
    seq: int | None = None
    message_id: str | None = None
    content_length: int | None = None
    state: str | None = None  # complete | partial | stopped, on the terminal frame
    model_id: str | None = None
    reply: ReplyState | None = None


class ErrorFrame(Outbound, kw_only=True, tag="error"):
    error: ErrorPayload
    reply_id: str | None = None
    in_reply_to: str | None = None
    continues: str | None = None
    seq: int | None = None
    message_id: str | None = None
    content_length: int | None = None


class Notification(Outbound, kw_only=True, tag="notification"):
    metadata: Metadata
    content: str | None = None


def at_connection_limit() -> Notification:
    """For the connections of a person of whom one more was refused."""
    return Notification(content=CONNECTION_LIMIT_EXCEEDED.message, metadata={"event": "connection_limit"})


class Heartbeat(Outbound, kw_only=True, tag="heartbeat"):
    top: dict[str, int]


class Goodbye(Outbound, kw_only=True, tag="goodbye"):
    reason: str
    reconnect_in: int  # milliseconds


class Resumed(Outbound, kw_only=True, tag="resumed"):
    from_: int = msgspec.field(name="from")
    to: int
    top: int
    recovered: bool


class Pong(Outbound, kw_only=True, tag="pong"):
    pass


class Typing(Outbound, kw_only=True, tag="typing_indicator"):
    pass


Frame = (
    ConnectionStatus
    | Ack
    | UserMessageFrame
    | Loading
    | AiResponse
    | ErrorFrame
    | Notification
    | Heartbeat
    | Goodbye
    | Resumed
    | Pong
    | Typing
)

STREAMING = {"streaming": "true", "done": "false"}
DONE = {"streaming": "false", "done": "true"}

_encoder = msgspec.json.Encoder()


def encode(frame: Frame) -> str:
    return _encoder.encode(frame).decode()
