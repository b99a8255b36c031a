"""Public: tell every connection of a session something, from a view, a signal, a task or a shell.

    from chat import push
    push.broadcast(session_id, {"type": "notification", "content": "Your export is ready.", "metadata": {}})

Delivery is at most once: what must not be lost belongs into the journal.
"""

from __future__ import annotations

from typing import Any

from asgiref.sync import async_to_sync
from channels.layers import get_channel_layer

from chat import groups


async def abroadcast(session_id: str, *frames: dict[str, Any]) -> None:
    """Send frames, as dicts with a `type` of the protocol, to every connection of the session on every process.

    Raises:
        msgspec.ValidationError: A frame is not of the documented shape; nothing was sent.
    """
    event = {"type": groups.EVENT, "session_id": session_id, "frames": list(frames)}
    groups.read_event(event)
    await get_channel_layer().group_send(groups.of_session(session_id), event)


def broadcast(session_id: str, *frames: dict[str, Any]) -> None:
    """The same from synchronous code."""
    async_to_sync(abroadcast)(session_id, *frames)
