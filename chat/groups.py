"""Names of the channel layer's groups, and the one event that a group carries.

A plain `group_send(of_session(id), {"type": EVENT, "session_id": id, "frames": [{...}]})` from anywhere reaches every
device of the session. `chat.push` wraps it.
"""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec

from chat import protocol

EVENT = "chat.frames"
HUBS = "chat.hubs"  # every process: what concerns all of them, and busy moments in one message

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


def read_event(event: dict[str, Any]) -> tuple[str, list[protocol.Frame]]:
    """Return the session and the frames of an event that a host project sent.

    Raises:
        msgspec.ValidationError: The event or one of its frames is not of the documented shape.
    """
    public = msgspec.convert(event, _PublicEvent)
    frames: list[protocol.Frame] = []
    for raw in public.frames:
        frames.append(msgspec.convert({**raw, "session_id": public.session_id}, _PUSHABLE))
    return public.session_id, frames
