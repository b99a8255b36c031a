"""Whose conversations there are, and their small changes, in the words of the domain. Synchronous ORM.

Every function takes the user and finds only what is theirs: a foreign id and one that does not exist are the same
NOT_FOUND. What was said is read by `history`; appending is the journal's.
"""

from __future__ import annotations

import functools
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.contrib.auth import get_user_model
from django.db import connections, router
from django.db.models import Count, Model, Q, QuerySet
from django.utils import timezone

from chat.models import RUNNING, ChatMessage, ChatSession, Reply
from errors.exceptions import ChatError
from errors.taxonomy import INVALID_FORMAT, NOT_FOUND

_CURSOR_TIME = "%Y%m%dT%H%M%S.%f"


@dataclass(frozen=True, slots=True)
class SessionPage:
    sessions: list[ChatSession]
    has_more: bool
    next_cursor: str | None


@functools.lru_cache(10_000)
def as_uuid(text: str, field: str | None = None) -> uuid.UUID:
    """Return the key that `text` names; what is no key of ours, letter by letter, names nothing.

    Groups and registrations go by the text: under another spelling a device would join a group nobody sends to.

    Raises:
        ChatError: NOT_FOUND, as for a key that does not exist; `field` is where it stood.
    """
    try:
        key = uuid.UUID(text)
    except ValueError:
        key = None
    # Not from that: the library speaks of hexadecimal strings, and its words would head the record.
    if key is None:
        raise ChatError(NOT_FOUND, field=field, detail="the id is not a UUID")
    if str(key) != text:
        raise ChatError(NOT_FOUND, field=field, detail="the id is not spelled as the server spells it")
    return key


@functools.lru_cache(10_000)
def user_key(user_id: str) -> Any:
    """Return a user's id, which is text everywhere else, as the key that the project's user model has."""
    return get_user_model()._meta.pk.to_python(user_id)


def rows(model: type[Model]) -> QuerySet[Any]:
    """The rows of a model where they are written: a replica may not know yet what was just acknowledged."""
    return model._default_manager.using(router.db_for_write(model))


def counts() -> dict[str, int]:
    """How many sessions and running replies there are, everybody's together: for staff."""
    yesterday = timezone.now() - timedelta(days=1)
    of_sessions: dict[str, int] = rows(ChatSession).aggregate(
        total_sessions=Count("pk"),
        active_sessions=Count("pk", filter=Q(ended_at=None)),
        sessions_last_24_hours=Count("pk", filter=Q(last_activity_at__gte=yesterday)),
    )
    return {**of_sessions, "running_replies": rows(Reply).filter(state__in=RUNNING).count()}


def owned(session_id: str, user_id: str) -> ChatSession:
    """Return the session, if it is the user's.

    Raises:
        ChatError: NOT_FOUND.
    """
    as_uuid(session_id, "session_id")
    (session,) = owned_of([(session_id, user_id)])
    if session is None:
        raise ChatError(NOT_FOUND, field="session_id")
    return session


def owned_of(pairs: Sequence[tuple[str, str]]) -> list[ChatSession | None]:
    """Return the session of each (session_id, user_id); None where it is not the user's.

    Written out as SQL: it runs whenever somebody names a session, and having the ORM build it anew costs five times as
    much as running it.
    """
    keys = [_key(text) for text, _ in pairs]
    connection = connections[router.db_for_write(ChatSession)]
    meta, quote = ChatSession._meta, connection.ops.quote_name
    columns = ", ".join([quote(str(field.column)) for field in meta.concrete_fields])
    values = [meta.pk.get_db_prep_value(key, connection) for key in set(keys) - {None}]
    found = ChatSession.objects.using(connection.alias).raw(
        f"SELECT {columns} FROM {quote(meta.db_table)}"  # noqa: S608 -- names of our own columns
        f" WHERE {quote(str(meta.pk.column))} IN ({', '.join(['%s'] * len(values)) or 'NULL'})",
        values,
    )
    by_owner: dict[tuple[Any, Any], ChatSession] = {(session.pk, session.owner_id): session for session in found}
    return [by_owner.get((key, user_key(user_id))) for key, (_, user_id) in zip(keys, pairs, strict=True)]


def _key(text: str) -> uuid.UUID | None:
    try:
        return as_uuid(text)
    except ChatError:
        return None


def session_of_reply(reply_id: str, user_id: str) -> str:
    found = (
        rows(Reply)
        .filter(pk=as_uuid(reply_id, "reply_id"), session__owner_id=user_key(user_id))
        .values_list("session_id")
        .first()
    )
    if found is None:
        raise ChatError(NOT_FOUND, field="reply_id")
    return str(found[0])


def session_of_message(message_id: str, user_id: str) -> str:
    """Return the session of a message, the user's own or an answer.

    Raises:
        ChatError: NOT_FOUND, also where the session is not the user's.
    """
    return _session_of(message_id, user_id)


def session_of_user_message(message_id: str, user_id: str) -> str:
    """Like `session_of_message`, but an answer is NOT_FOUND: only what a user wrote can be answered."""
    return _session_of(message_id, user_id, sender="user")


def _session_of(message_id: str, user_id: str, **conditions: str) -> str:
    messages = rows(ChatMessage).filter(
        pk=as_uuid(message_id, "message_id"), session__owner_id=user_key(user_id), **conditions
    )
    found = messages.values_list("session_id").first()
    if found is None:
        raise ChatError(NOT_FOUND, field="message_id")
    return str(found[0])


def most_recent_open(user_id: str) -> str | None:
    sessions = rows(ChatSession).filter(owner_id=user_key(user_id), ended_at=None).order_by("-last_activity_at", "-id")
    found = sessions.values_list("pk").first()
    return str(found[0]) if found else None


def select_model(session_id: str, user_id: str, model_id: str) -> None:
    if (
        not rows(ChatSession)
        .filter(pk=as_uuid(session_id, "session_id"), owner_id=user_key(user_id))
        .update(model_id=model_id)
    ):
        raise ChatError(NOT_FOUND, field="session_id")


def end(session_id: str, user_id: str) -> ChatSession:
    """End the session; ending it again changes nothing."""
    open_ones = rows(ChatSession).filter(
        pk=as_uuid(session_id, "session_id"), owner_id=user_key(user_id), ended_at=None
    )
    open_ones.update(ended_at=timezone.now())
    return owned(session_id, user_id)


def page(user_id: str, *, cursor: str | None, limit: int) -> SessionPage:
    """Return the user's sessions, newest activity first, from `cursor` on.

    Raises:
        ChatError: INVALID_FORMAT for a cursor that this function did not make.
    """
    return page_from(rows(ChatSession).filter(owner_id=user_key(user_id)), cursor=cursor, limit=limit)


def page_from(sessions: QuerySet[ChatSession], *, cursor: str | None, limit: int) -> SessionPage:
    """Like `page`, of the sessions that are given; whether the reader may see them, the caller knows."""
    sessions = sessions.order_by("-last_activity_at", "-id")
    if cursor:
        moment, key = _read_cursor(cursor)
        sessions = sessions.filter(Q(last_activity_at__lt=moment) | Q(last_activity_at=moment, pk__lt=key))
    found = list(sessions[: limit + 1])
    has_more = len(found) > limit
    found = found[:limit]
    last = found[-1] if has_more else None
    return SessionPage(found, has_more, _cursor(last) if last else None)


def _cursor(session: ChatSession) -> str:
    return f"{session.last_activity_at.astimezone(UTC):{_CURSOR_TIME}}_{session.pk}"


def _read_cursor(cursor: str) -> tuple[datetime, uuid.UUID]:
    moment, _, key = cursor.partition("_")
    try:
        return datetime.strptime(moment, _CURSOR_TIME).replace(tzinfo=UTC), uuid.UUID(key)
    except ValueError as exc:
        raise ChatError(INVALID_FORMAT, field="cursor") from exc
