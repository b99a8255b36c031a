"""What was said in a conversation: its messages, each with what became of its answer. Synchronous ORM.

Who asks has been found to be its owner, by `sessions`, or is the reply that belongs to it.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime

from chat.models import ChatMessage, ChatSession, Reply, ReplyPhase
from chat.sessions import rows


@dataclass(frozen=True, slots=True)
class ReplyFacts:
    reply_id: str
    state: str
    in_reply_to: str
    model_id: str
    error: dict[str, object] | None
    text: str  # checkpoint, while it runs


@dataclass(frozen=True, slots=True)
class MessageFacts:
    message_id: str
    session_id: str
    seq: int
    sender: str
    content: str
    created_at: datetime
    client_ref: str | None
    model_id: str
    metadata: dict[str, object]
    reply: ReplyFacts | None  # of a user message: the latest answer to it; of an ai message: the answer it is


@dataclass(frozen=True, slots=True)
class MessagePage:
    messages: list[MessageFacts]  # ascending seq
    has_more: bool


def page(session: ChatSession, *, before: int | None, limit: int) -> MessagePage:
    """Return the newest `limit` messages of an owned session below `before`."""
    messages = rows(ChatMessage).filter(session=session).order_by("-seq")
    if before is not None:
        messages = messages.filter(seq__lt=before)
    found = list(messages[: limit + 1])
    return MessagePage(with_replies(found[:limit][::-1]), has_more=len(found) > limit)


def conversation(reply_id: str, limit: int) -> tuple[Reply, list[ChatMessage]]:
    """Return a reply and, oldest first, the last `limit` messages up to and with the one it answers."""
    reply = rows(Reply).select_related("message", "session").get(pk=reply_id)
    messages = rows(ChatMessage).filter(session_id=reply.session_id, seq__lte=reply.message.seq).order_by("-seq")
    return reply, list(messages[:limit])[::-1]


def latest_partial(message_id: uuid.UUID) -> str:
    """Return the text that the last broken-off reply to a message had reached, or nothing."""
    replies = rows(Reply).filter(message_id=message_id, state__in=(ReplyPhase.PARTIAL, ReplyPhase.STOPPED))
    reply = replies.select_related("answer").order_by("-attempt").first()
    return reply.answer.content if reply and reply.answer else ""


def with_replies(messages: list[ChatMessage]) -> list[MessageFacts]:
    """Return messages as facts, each with what became of its answer, or of the answer that it is."""
    keys = [message.pk for message in messages]
    of_message: dict[uuid.UUID, Reply] = {}
    for reply in rows(Reply).filter(message_id__in=keys).order_by("attempt"):
        of_message[reply.message_id] = reply
    for reply in rows(Reply).filter(answer_id__in=keys):
        if reply.answer_id is not None:
            of_message[reply.answer_id] = reply
    return [
        MessageFacts(
            message_id=str(message.pk),
            session_id=str(message.session_id),
            seq=message.seq,
            sender=message.sender,
            content=message.content,
            created_at=message.created_at,
            client_ref=message.client_ref,
            model_id=message.model_id,
            metadata=message.metadata,
            reply=reply_facts(of_message[message.pk]) if message.pk in of_message else None,
        )
        for message in messages
    ]


def reply_facts(reply: Reply) -> ReplyFacts:
    return ReplyFacts(
        reply_id=str(reply.pk),
        state=reply.state,
        in_reply_to=str(reply.message_id),
        model_id=reply.model_id,
        error=reply.error,
        text=reply.text,
    )
