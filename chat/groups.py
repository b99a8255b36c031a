"""Names of the channel layer's groups, and the one event that a group carries.

A plain `group_send(of_session(id), {"type": EVENT, "session_id": id, "frames": [{...}]})` from anywhere reaches every
device of the session. `chat.push` wraps it.
"""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec

from chat import protocol
from chat.encoded import Encoded

EVENT = "chat.frames"
HUBS = "chat.hubs"  # every process: what concerns all of them, and busy moments in one message

MAX_PUSHED_BYTES = 524_288  # of one frame; over 1 MiB the server ends the connection instead of sending it

_PUSHABLE = protocol.Notification | protocol.UserMessageFrame | protocol.AiResponse | protocol.Typing


class _PublicEvent(msgspec.Struct):
    session_id: str
    frames: list[dict[str, Any]]


def of_session(session_id: str) -> str:
    return f"chat.session.{session_id}"


def of_user(user_id: str) -> str:
    """Users' keys may hold any character; a group's name may not, and is below 100 characters."""
    return f"chat.user.{hashlib.blake2s(user_id.encode()).hexdigest()}"


def of_hub(hub_id: str) -> str:
    return f"chat.hub.{hub_id}"


def read_event(event: dict[str, Any]) -> tuple[str, list[Encoded]]:
    """Return the session and the frames of an event that a host project sent.

    Raises:
        msgspec.ValidationError: The event or one of its frames is not of the documented shape, or too long, or no text.
    """
    public = msgspec.convert(event, _PublicEvent)
    frames = []
    for raw in public.frames:
        frame = msgspec.convert({**raw, "session_id": public.session_id}, _PUSHABLE)
        try:
            encoded = Encoded.plain(frame)
        except UnicodeEncodeError as exc:
            raise msgspec.ValidationError("a lone surrogate in a pushed frame") from exc
        if (size := len(encoded.text.encode())) > MAX_PUSHED_BYTES:
            raise msgspec.ValidationError(f"a pushed frame has at most {MAX_PUSHED_BYTES} bytes, not {size}")
        frames.append(encoded)
    return public.session_id, frames
