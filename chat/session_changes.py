"""What a person changes about one of their sessions as a whole. Synchronous ORM; `chat.announcements` tells of it."""

from __future__ import annotations

from django.db import connections, router, transaction

from chat import sessions
from chat.models import RUNNING, ChatSession, Reply, ReplyPhase
from errors.exceptions import ChatError
from errors.taxonomy import FIELD_TOO_LONG, INVALID_FORMAT, MISSING_FIELD, NOT_FOUND

TITLE_MAX_CHARS = 80  # what the list can show, and what the column holds


def rename(session_id: str, user_id: str, title: str) -> ChatSession:
    """Give the session another title; runs of white space count as one space.

    Raises:
        ChatError: NOT_FOUND; MISSING_FIELD, FIELD_TOO_LONG or INVALID_FORMAT for a title that cannot be one.
    """
    title = " ".join(title.split())
    if not title:
        raise ChatError(MISSING_FIELD, field="title")
    if len(title) > TITLE_MAX_CHARS:
        raise ChatError(FIELD_TOO_LONG, field="title")
    if "\x00" in title:
        raise ChatError(INVALID_FORMAT, field="title")
    session = sessions.owned(session_id, user_id)
    sessions.rows(ChatSession).filter(pk=session.pk).update(title=title)
    session.title = title
    return session


def delete(session_id: str, user_id: str) -> None:
    """Delete the session with its messages. What failed in it remains on record.

    A reply that is being written stops first: its process finds it ended at the next checkpoint and tells nobody.
    """
    alias = router.db_for_write(ChatSession)
    with transaction.atomic(using=alias):
        key = sessions.as_uuid(session_id, "session_id")
        # All of it but its key, which a batch of the journal that holds a reply of it may look up at its COMMIT: each
        # would wait for the other.
        but_key = connections[alias].features.has_select_for_no_key_update
        held = sessions.rows(ChatSession).select_for_update(no_key=but_key)
        session = held.filter(pk=key, owner_id=sessions.user_key(user_id)).first()
        if session is None:
            raise ChatError(NOT_FOUND, field="session_id")
        sessions.rows(Reply).filter(session=session, state__in=RUNNING).update(state=ReplyPhase.STOPPED)
        session.delete()
