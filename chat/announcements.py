"""Tells all connections of a user, from synchronous code, what became of one of their sessions."""

from __future__ import annotations

from enum import StrEnum
from functools import partial

from django.db import router, transaction

from chat import groups, hub_calls, protocol
from chat.models import ChatSession
from errors.loggers import get_logger

log = get_logger("chat.announcements")


class SessionEvent(StrEnum):
    UPDATED = "session_updated"
    ENDED = "session_ended"
    DELETED = "session_deleted"


def announce(user_id: str, session_id: str, event: SessionEvent, *, title: str | None = None) -> None:
    """Broadcast a `notification` to every device of the user, at most once; a page that missed it reads the list anew.

    Once it is committed: a project's requests may be transactions (ATOMIC_REQUESTS).
    """
    metadata: protocol.Metadata = {"event": event.value}
    if title is not None:
        metadata["title"] = title
    frame = protocol.Notification(session_id=session_id, metadata=metadata)
    transaction.on_commit(partial(_broadcast, user_id, frame), using=router.db_for_write(ChatSession))


def _broadcast(user_id: str, frame: protocol.Notification) -> None:
    """What was done is done: a layer that is down makes no request fail."""
    try:
        hub_calls.broadcast(groups.of_user(user_id), frame)
    except Exception as exc:
        log.warning("chat.session_change_not_announced", session_id=frame.session_id, cause=type(exc).__name__)
