"""Public: tell every connection of a session something, from a view, a signal, a task or a shell.

    from chat import push
    push.broadcast(session_id, {"type": "notification", "content": "Your export is ready.", "metadata": {}})

Delivery is at most once: what must not be lost belongs in the journal.
"""

from __future__ import annotations

import uuid
from typing import Any

from asgiref.sync import async_to_sync

from chat import groups, hub_calls
from chat.hub import Hub


async def abroadcast(session_id: str | uuid.UUID, *frames: dict[str, Any]) -> None:
    """Send frames, as dicts with a `type` of the protocol, to every connection of the session on every process.

    In a server process this waits for nothing. In any other, such as a task or a shell, it waits for the layer.

    Args:
        session_id: The key of a `ChatSession`, or what the client calls it.

    Raises:
        ValueError: `session_id` is no session's id; nothing was sent.
        msgspec.ValidationError: A frame does not have the documented shape, or is too long; nothing was sent.
        TimeoutError: In a process without connections, while the layer does not answer.
    """
    name = str(uuid.UUID(str(session_id)))  # as the group is called: an id has several spellings
    event = {"session_id": name, "frames": list(frames)}
    _, checked = groups.read_event(event)
    group = groups.of_session(name)

    def send(one: Hub) -> None:
        for frame in checked:
            one.send(group, frame)

    if not hub_calls.call_hubs(send):
        await hub_calls.send_alone(group, event)


def broadcast(session_id: str | uuid.UUID, *frames: dict[str, Any]) -> None:
    """The same from synchronous code."""
    async_to_sync(abroadcast)(session_id, *frames)
