"""The one way to make messages durable; gives them their `seq`. Nothing is acknowledged before it returned.

One transaction per append, on threads of its own. The session's row is the lock: whoever holds it allocates the next
`seq`, so numbers have no gaps, on several processes too.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from django.db import Error as DatabaseError
from django.db import IntegrityError, router, transaction
from django.db.models import Sum
from django.db.models.functions import Coalesce
from django.utils import timezone

from chat import conf, titles
from chat.database import DatabaseThreads
from chat.llm.base import Usage
from chat.models import RUNNING, ChatMessage, ChatSession, Reply, ReplyPhase, Sender
from chat.sessions import as_uuid, user_key
from errors.exceptions import ChatError
from errors.taxonomy import (
    DATABASE_ERROR,
    DUPLICATE_MISMATCH,
    NOT_FOUND,
    SESSION_ENDED,
    TOO_MANY_REQUESTS,
    Outcome,
)

Result = TypeVar("Result")

_RUNNING_RETRY_MS = 3_000  # milliseconds; a short answer takes about as long
_RETRY_AFTER_MS = 1_000
_FIGURES = ("first_token_ms", "total_ms", "prompt_tokens", "completion_tokens")


@dataclass(frozen=True, slots=True)
class Draft:
    """A validated user message. Without `session_id` it opens a session."""

    user_id: str
    content: str
    session_id: str | None = None
    ref: str | None = None
    model_id: str = ""
    metadata: dict[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Stored:
    message_id: str
    session_id: str
    seq: int
    reply_id: str | None  # None: the session's assistant is switched off
    duplicate: bool
    created_at: datetime
    new_title: str | None = None  # the message gave its session this title


@dataclass(frozen=True, slots=True)
class Retried:
    reply_id: str
    session_id: str
    message_id: str
    seq: int
    is_new: bool


@dataclass(slots=True)
class Figures:
    """What a reply cost and took; None where it is not known."""

    usage: Usage | None = None
    first_token_ms: int | None = None
    total_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Ended:
    """How a reply ended. `message_id` and `seq` are None when no text had arrived."""

    state: str
    message_id: str | None
    seq: int | None


class Journal:
    """Durable appends. One per event loop; owned by `runtime`."""

    def __init__(self, threads: DatabaseThreads) -> None:
        self._threads = threads

    async def append(self, draft: Draft) -> Stored:
        """Store a user message, and its pending reply with it, and return it with its sequence number.

        Returns after COMMIT. The same `ref` again returns what was stored the first time, as `duplicate`.

        Raises:
            ChatError: NOT_FOUND, SESSION_ENDED, DUPLICATE_MISMATCH, TOO_MANY_REQUESTS (too many replies are running);
                DATABASE_ERROR, with outcome `unknown` where the commit may have happened.
        """
        return await self._threads.run(_in_transaction, _append, draft)

    async def retry(self, message_id: str, user_id: str, model_id: str) -> Retried:
        """Return the running or complete reply to a message, or a new pending one.

        Raises:
            ChatError: NOT_FOUND, SESSION_ENDED, TOO_MANY_REQUESTS, DATABASE_ERROR.
        """
        return await self._threads.run(_in_transaction, _retry, message_id, user_id, model_id)

    async def end_reply(
        self,
        reply_id: str,
        *,
        state: str,
        text: str,
        error: dict[str, object] | None = None,
        figures: Figures | None = None,
    ) -> Ended | None:
        """End a reply and store its text as a message; None if it had ended already, here or elsewhere.

        Raises:
            ChatError: DATABASE_ERROR.
        """
        return await self._threads.run(_in_transaction, _end_reply, reply_id, state, text, error, figures or Figures())


def _in_transaction(work: Callable[..., Result], *args: object) -> Result:
    """Run `work` in one transaction, and tell a fault before COMMIT (nothing stored) from one at COMMIT (unknown)."""
    for attempt in (1, 2):
        is_committing = False
        try:
            with transaction.atomic(using=router.db_for_write(ChatMessage)):
                result = work(*args)
                is_committing = True
            return result
        except IntegrityError as exc:
            # Another process opened the same session or stored the same ref at the same moment: look again.
            if attempt == 2:
                raise ChatError(DATABASE_ERROR, retry_after_ms=_RETRY_AFTER_MS, outcome=Outcome.REJECTED) from exc
        except DatabaseError as exc:
            outcome = Outcome.UNKNOWN if is_committing else Outcome.REJECTED
            raise ChatError(DATABASE_ERROR, retry_after_ms=_RETRY_AFTER_MS, outcome=outcome) from exc
    raise AssertionError("unreachable")


def _append(draft: Draft) -> Stored:
    session = _session_for(draft)
    if draft.ref is not None and (known := _known(session, draft)) is not None:
        return known
    if session.ended_at is not None:
        raise ChatError(SESSION_ENDED)
    if session.assistant_enabled:
        _check_allowance(draft.user_id)
    now = timezone.now()
    message = ChatMessage.objects.create(
        session=session,
        seq=session.last_seq + 1,
        sender=Sender.USER,
        content=draft.content,
        client_ref=draft.ref,
        model_id=draft.model_id or session.model_id,
        metadata=draft.metadata,
        created_at=now,
    )
    new_title = None
    if not session.title:
        session.title = new_title = titles.title_of(draft.content)
    session.last_seq = message.seq
    session.last_activity_at = now
    session.save(update_fields=["title", "last_seq", "last_activity_at"])
    reply = _new_reply(session, message, draft.user_id, message.model_id) if session.assistant_enabled else None
    return Stored(
        message_id=str(message.pk),
        session_id=str(session.pk),
        seq=message.seq,
        reply_id=str(reply.pk) if reply else None,
        duplicate=False,
        created_at=now,
        new_title=new_title,
    )


def _session_for(draft: Draft) -> ChatSession:
    """Return the draft's session, locked; open it where the draft names none."""
    if draft.session_id is not None:
        return _locked(as_uuid(draft.session_id), draft.user_id)
    if draft.ref is not None:
        opened = (
            ChatSession.objects.select_for_update()
            .filter(owner_id=user_key(draft.user_id), origin_ref=draft.ref)
            .first()
        )
        if opened is not None:
            return opened
    return ChatSession.objects.create(owner_id=user_key(draft.user_id), origin_ref=draft.ref, model_id=draft.model_id)


def _locked(session_id: uuid.UUID, user_id: str) -> ChatSession:
    session = ChatSession.objects.select_for_update().filter(pk=session_id, owner_id=user_key(user_id)).first()
    if session is None:
        raise ChatError(NOT_FOUND, field="session_id")
    return session


def _known(session: ChatSession, draft: Draft) -> Stored | None:
    """Return what an earlier message with the same ref became."""
    message = ChatMessage.objects.filter(session=session, client_ref=draft.ref).first()
    if message is None:
        return None
    if message.content != draft.content:
        raise ChatError(DUPLICATE_MISMATCH, field="ref", outcome=Outcome.REJECTED)
    reply = Reply.objects.filter(message=message).order_by("-attempt").first()
    return Stored(
        message_id=str(message.pk),
        session_id=str(session.pk),
        seq=message.seq,
        reply_id=str(reply.pk) if reply else None,
        duplicate=True,
        created_at=message.created_at,
    )


def _check_allowance(user_id: str) -> None:
    """Refuse what this person may not ask for now: too many answers at once, or too many tokens today."""
    _check_running(user_id)
    allowed = conf.chat().tokens_per_day
    if allowed is None:
        return
    now = timezone.now()
    midnight = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    today = Reply.objects.filter(owner_key=user_id, created_at__gte=midnight)
    used = today.aggregate(used=Sum(Coalesce("prompt_tokens", 0) + Coalesce("completion_tokens", 0)))["used"] or 0
    if used >= allowed:
        wait = midnight + timedelta(days=1) - now
        raise ChatError(
            TOO_MANY_REQUESTS,
            retry_after_ms=max(1, int(wait.total_seconds() * 1000)),
            detail=f"{used} of {allowed} tokens today",
        )


def _check_running(user_id: str) -> None:
    limit = conf.chat().max_running_replies
    if Reply.objects.filter(owner_key=user_id, state__in=RUNNING).count() >= limit:
        raise ChatError(TOO_MANY_REQUESTS, retry_after_ms=_RUNNING_RETRY_MS, detail=f"{limit} replies are running")


def _new_reply(session: ChatSession, message: ChatMessage, user_id: str, model_id: str, attempt: int = 1) -> Reply:
    return Reply.objects.create(
        session=session,
        message=message,
        owner_key=user_id,
        attempt=attempt,
        model_id=model_id,
        lease_until=timezone.now() + timedelta(seconds=conf.chat().lease_s),
    )


def _retry(message_id: str, user_id: str, model_id: str) -> Retried:
    message = ChatMessage.objects.filter(
        pk=as_uuid(message_id), session__owner_id=user_key(user_id), sender=Sender.USER
    ).first()
    if message is None:
        raise ChatError(NOT_FOUND, field="message_id")
    session = _locked(message.session_id, user_id)
    last = Reply.objects.filter(message=message).order_by("-attempt").first()
    if last is not None and last.state in (*RUNNING, ReplyPhase.COMPLETE):
        return Retried(str(last.pk), str(session.pk), str(message.pk), message.seq, is_new=False)
    if session.ended_at is not None:
        raise ChatError(SESSION_ENDED)
    _check_allowance(user_id)
    reply = _new_reply(
        session,
        message,
        user_id,
        model_id or session.model_id or message.model_id,
        attempt=last.attempt + 1 if last else 1,
    )
    return Retried(str(reply.pk), str(session.pk), str(message.pk), message.seq, is_new=True)


def _end_reply(reply_id: str, state: str, text: str, error: dict[str, object] | None, figures: Figures) -> Ended | None:
    # The session first, then the reply: the order in which everybody locks.
    key = as_uuid(reply_id)
    session = ChatSession.objects.select_for_update(of=("self",)).filter(replies__pk=key).first()
    reply = Reply.objects.select_for_update().filter(pk=key, state__in=RUNNING).first()
    if session is None or reply is None:
        return None
    now = timezone.now()
    message = None
    if text:
        message = ChatMessage.objects.create(
            session=session,
            seq=session.last_seq + 1,
            sender=Sender.AI,
            content=text,
            model_id=reply.model_id,
            created_at=now,
        )
        session.last_seq = message.seq
    session.last_activity_at = now
    session.save(update_fields=["last_seq", "last_activity_at"])
    reply.state, reply.error, reply.answer, reply.text, reply.ended_at = state, error, message, "", now
    reply.first_token_ms, reply.total_ms = figures.first_token_ms, figures.total_ms
    if figures.usage is not None:
        reply.prompt_tokens, reply.completion_tokens = figures.usage.prompt_tokens, figures.usage.completion_tokens
    reply.save(update_fields=["state", "error", "answer", "text", "ended_at", *_FIGURES])
    return Ended(state, str(message.pk) if message else None, message.seq if message else None)
