"""What was said in a conversation: its messages, each with what became of its answer. Synchronous ORM.

Who asks has been found to be its owner, by `sessions`, or is the reply that belongs to it.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from chat.models import ChatMessage, ChatSession, Reply, Sender
from chat.sessions import rows


@dataclass(frozen=True, slots=True)
class ReplyFacts:
    reply_id: str
    state: str
    in_reply_to: str
    model_id: str
    error: dict[str, object] | None
    text: str  # checkpoint, while it runs
    continues: str | None  # the reply from whose text it goes on


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


def conversation(reply_id: str, limit: int) -> tuple[Reply, list[tuple[str, str]]]:
    """Return a reply and, oldest first, who said what in the last `limit` messages up to and with the one it answers.

    An answer that was continued is one.
    """
    reply = rows(Reply).select_related("message", "session").get(pk=reply_id)
    messages = rows(ChatMessage).filter(session_id=reply.session_id, seq__lte=reply.message.seq).order_by("-seq")
    return reply, _joined(list(messages[:limit])[::-1])


def _joined(messages: list[ChatMessage]) -> list[tuple[str, str]]:
    """Who said what, with each answer's continuations as part of it, in its place."""
    answers = {message.pk for message in messages if message.sender == Sender.AI}
    begun_by = _beginnings(answers) if answers else {}
    texts: dict[uuid.UUID, list[str]] = {}  # by the message that begins the answer
    for message in messages:
        begun = begun_by.get(message.pk, message.pk)
        texts.setdefault(begun if begun in texts else message.pk, []).append(message.content)
    return [(message.sender, "".join(texts[message.pk])) for message in messages if message.pk in texts]


def _beginnings(answers: Collection[uuid.UUID]) -> dict[uuid.UUID, uuid.UUID]:
    """Of each of these messages that continues another one of them, the message with which its answer begins."""
    replies = rows(Reply).filter(answer_id__in=answers).order_by("attempt")
    found: dict[uuid.UUID, uuid.UUID] = {}
    answer_of: dict[uuid.UUID, uuid.UUID] = {}
    for reply, answer, continues in replies.values_list("pk", "answer_id", "continues"):
        if answer is not None:
            answer_of[reply] = answer
            if (before := answer_of.get(continues)) is not None:
                found[answer] = found.get(before, before)
    return found


def text_before(reply: Reply) -> str:
    """Return the text that a reply goes on from: nothing, or all that was written from its beginning on."""
    if reply.continues is None:
        return ""
    others = {other.pk: other for other in rows(Reply).filter(message_id=reply.message_id).select_related("answer")}
    parts: list[str] = []
    while (before := others.pop(reply.continues, None)) is not None:
        parts.append(before.answer.content if before.answer else "")
        reply = before
    return "".join(reversed(parts))


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
        continues=str(reply.continues) if reply.continues else None,
    )
