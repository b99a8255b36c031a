"""Tells all connections of a user, from synchronous code, what became of one of their sessions."""

from __future__ import annotations

import asyncio
from enum import StrEnum
from typing import Any

import structlog
from asgiref.sync import async_to_sync
from channels.layers import get_channel_layer

from chat import conf, groups, protocol
from chat.encoded import Encoded

log = structlog.stdlib.get_logger("chat.announcements")


class SessionEvent(StrEnum):
    UPDATED = "session_updated"
    ENDED = "session_ended"
    DELETED = "session_deleted"


def announce(user_id: str, session_id: str, event: SessionEvent, *, title: str | None = None) -> None:
    """Broadcast a `notification` to every device of the user, at most once; a page that missed it reads the list anew.

    What was done is done: a layer that is away fails no request.
    """
    metadata: protocol.Metadata = {"event": event.value}
    if title is not None:
        metadata["title"] = title
    frame = Encoded.of(protocol.Notification(session_id=session_id, metadata=metadata))
    group = groups.of_user(user_id)
    try:
        async_to_sync(_send)(group, {"type": groups.EVENT, "group": group, "encoded": [[None, *frame.pack()]]})
    except Exception as exc:
        log.warning("chat.session_change_not_announced", session_id=session_id, cause=type(exc).__name__)


async def _send(group: str, event: dict[str, Any]) -> None:
    async with asyncio.timeout(conf.chat().layer_timeout_s):
        await get_channel_layer().group_send(group, event)
