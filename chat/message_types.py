"""`MessageType`: a project's own kind of message. `CHAT["message_types"]` names them; no file of ours is edited.

    class RateAnswer(Inbound, frozen=True, kw_only=True, tag="shop.rate_answer"):
        session_id: str                             # no default: required
        stars: Annotated[int, msgspec.Meta(ge=1, le=5)]

    async def handle(connection: Connection, message: RateAnswer) -> None: ...

    RATE_ANSWER = MessageType(RateAnswer, handle)   # CHAT = {"message_types": ["shop.messages.RATE_ANSWER"]}

`decode` reads them with the protocol's own, `router` hands them to their handlers, `pipeline` counts those that cost.
"""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, get_args

from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

from chat import conf, protocol
from errors.conf import forget_when

Handler = Callable[[Any, Any], Awaitable[None]]

_TAG = re.compile(r"[a-z][a-z0-9_]*(\.[a-z0-9_]+)*")
_MAX_TAG_CHARS = 64
_SETTING = "CHAT['message_types'] (environment: CHAT_MESSAGE_TYPES)"


@dataclass(frozen=True, slots=True)
class MessageType:
    """What a client may send beyond the protocol.

    Attributes:
        message: A frozen subclass of `chat.protocol.Inbound` with a tag. Fields without a default are required; further
            rules are `msgspec.Meta`. Violations are reported like those of the protocol's own types, with the field.
        handle: Called with the `chat.connection.Connection` and the message. If the message carries `session_id`, the
            session is the person's own and the connection is registered with it by then.
        is_counted: Whether it counts towards `messages_per_minute`, like whatever costs an answer.
    """

    message: type[protocol.Inbound]
    handle: Handler
    is_counted: bool = False

    @property
    def tag(self) -> str:
        return str(self.message.__struct_config__.tag)


@functools.cache
def own() -> tuple[MessageType, ...]:
    """Return the project's message types.

    Raises:
        ImproperlyConfigured: One line that says which path leads to no message type, or to one whose name is taken.
    """
    found: list[MessageType] = []
    taken = {str(kind.__struct_config__.tag) for kind in (*protocol.INBOUND, *get_args(protocol.Frame))}
    taken.update(protocol.RESERVED)
    for path in conf.chat().message_types:
        try:
            kind = import_string(path)
        except ImportError as exc:
            raise ImproperlyConfigured(f"{_SETTING}: {path} cannot be imported: {exc}.") from exc
        if fault := _fault(kind, taken):
            raise ImproperlyConfigured(f"{_SETTING}: {path} {fault}.")
        taken.add(kind.tag)
        found.append(kind)
    return tuple(found)


@functools.cache
def handlers() -> dict[type[protocol.Inbound], Handler]:
    return {kind.message: kind.handle for kind in own()}


@functools.cache
def counted() -> frozenset[type[protocol.Inbound]]:
    """The messages that cost an answer: the protocol's and the project's."""
    return frozenset({protocol.UserMessage, protocol.Retry, *(kind.message for kind in own() if kind.is_counted)})


def _fault(kind: object, taken: set[str]) -> str | None:
    """What is wrong with a message type, as the rest of a sentence; None if nothing is."""
    if not isinstance(kind, MessageType):
        return "is no MessageType"
    message: Any = kind.message  # a project's own word for it, annotations or not
    if not (isinstance(message, type) and issubclass(message, protocol.Inbound)):
        return "has a message that is no subclass of chat.protocol.Inbound"
    if kind.tag in taken:
        return f"has the type {kind.tag!r}, which is taken"
    if not _TAG.fullmatch(kind.tag) or len(kind.tag) > _MAX_TAG_CHARS:
        return f"has the type {kind.tag!r}: lower-case words with _ and dots are needed, such as shop.rate_answer"
    if not inspect.iscoroutinefunction(kind.handle):
        return "has a handler that is no `async def` function"
    return None


forget_when(("CHAT",), own.cache_clear, handlers.cache_clear, counted.cache_clear)
