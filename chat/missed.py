"""Reading of what a connection has missed, for `resume`, repair and heartbeat. Synchronous ORM.

Who asks is registered with the session, so it is theirs. Everything is read where it is written: a replica that
lags behind would show a gap where there is none.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import timedelta

from django.db import router
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.db.models.functions import Length
from django.utils import timezone

from chat import history
from chat.history import MessageFacts, ReplyFacts
from chat.models import RUNNING, ChatMessage, ChatSession, Reply
from chat.sessions import as_uuid

_MAX_SILENT = 20  # answers of one session that left no text, the newest


@dataclass(frozen=True, slots=True)
class MissedReply:
    """A reply that runs, or one that was asked for. `seq` is its message's, None without one."""

    facts: ReplyFacts
    seq: int | None

    @property
    def is_running(self) -> bool:
        return self.facts.state in RUNNING


@dataclass(frozen=True, slots=True)
class Missed:
    """A page of messages in the order of their `seq`, the session's highest `seq`, and replies by id."""

    session_id: str
    messages: list[MessageFacts]
    top: int
    replies: dict[str, MissedReply]


@dataclass(frozen=True, slots=True)
class SilentEnd:
    """A reply that ended without text: it has no `seq` by which its end could be missed."""

    session_id: str
    reply_id: str
    created_at: float  # seconds of the epoch


def read(
    session_id: str,
    *,
    after: int | None,
    limit: int,
    max_chars: int,
    reply_ids: Collection[str] = (),
    with_silent: bool = False,
) -> Missed | None:
    """Return what comes after `after` (None: no messages), at most `limit` messages and about `max_chars`.

    One message is always among them, however long. None: the session is gone.

    Args:
        reply_ids: Replies to return besides those that run.
        with_silent: Also the newest answers to messages up to `after` that ended without text: no number tells of them.
    """
    session = ChatSession.objects.using(_alias()).filter(pk=as_uuid(session_id)).first()
    if session is None:
        return None
    messages = [] if after is None else _page(session, after, limit, max_chars)
    top = max(session.last_seq, messages[-1].seq if messages else 0)
    replies = _replies(session, reply_ids)
    if with_silent and after and (not messages or messages[-1].seq >= top):
        replies |= _as_missed(_silent(session, after))
    return Missed(session_id, messages, top, replies)


def _page(session: ChatSession, after: int, limit: int, max_chars: int) -> list[MessageFacts]:
    messages = ChatMessage.objects.using(_alias()).filter(session=session, seq__gt=after).order_by("seq")
    last, chars = after, 0
    for seq, length in messages.values_list("seq", Length("content"))[:limit]:
        chars += length
        if chars > max_chars and last != after:
            break
        last = seq
    return history.with_replies(list(messages.filter(seq__lte=last)))


def _replies(session: ChatSession, reply_ids: Collection[str]) -> dict[str, MissedReply]:
    wanted = Q(state__in=RUNNING)
    if reply_ids:
        wanted |= Q(pk__in=[as_uuid(reply_id) for reply_id in reply_ids])
    return _as_missed(Reply.objects.using(_alias()).filter(wanted, session=session).order_by("created_at"))


def _silent(session: ChatSession, up_to: int) -> QuerySet[Reply]:
    """The newest answers to messages up to this `seq` that left no text; of each message its latest answer counts."""
    later = Reply.objects.using(_alias()).filter(message=OuterRef("message"), attempt__gt=OuterRef("attempt"))
    silent = _without_text(Reply.objects.using(_alias()).filter(session=session, message__seq__lte=up_to))
    return silent.exclude(Exists(later)).exclude(state__in=RUNNING).order_by("-created_at")[:_MAX_SILENT]


def _without_text(replies: QuerySet[Reply]) -> QuerySet[Reply]:
    """Not `answer=None`: SQLite would take the index of that column, and read such replies of all sessions."""
    return replies.exclude(answer__isnull=False)


def _as_missed(replies: QuerySet[Reply]) -> dict[str, MissedReply]:
    return {
        str(reply.pk): MissedReply(history.reply_facts(reply), reply.answer.seq if reply.answer else None)
        for reply in replies.select_related("answer")
    }


def tops(session_ids: Iterable[str]) -> dict[str, int]:
    """Return the highest `seq` of each session."""
    rows = ChatSession.objects.using(_alias()).filter(pk__in=list(session_ids)).values_list("pk", "last_seq")
    return {str(key): seq for key, seq in rows}


def silent_ends(session_ids: Iterable[str], within_s: float) -> list[SilentEnd]:
    """Return the replies of these sessions that ended in this time without text."""
    since = timezone.now() - timedelta(seconds=within_s)
    replies = _without_text(Reply.objects.using(_alias()).filter(session__in=list(session_ids), ended_at__gte=since))
    return [
        SilentEnd(str(session_id), str(key), created_at.timestamp())
        for session_id, key, created_at in replies.values_list("session_id", "pk", "created_at")
    ]


def _alias() -> str:
    return router.db_for_write(ChatMessage)
