"""Makes frames of what is stored, for those who were not there when it happened."""

from __future__ import annotations

import msgspec

from chat import protocol
from chat.journal import Draft, Stored
from chat.sessions import MessageFacts, ReplyFacts
from errors.failure import ErrorPayload


def user_message(stored: Stored, draft: Draft) -> protocol.UserMessageFrame:
    """The new message, for the session's other connections."""
    return protocol.UserMessageFrame(
        session_id=stored.session_id,
        timestamp=protocol.rfc3339(stored.created_at),
        content=draft.content,
        message_id=stored.message_id,
        seq=stored.seq,
        client_ref=draft.ref,
        model_id=draft.model_id or None,
        metadata=draft.metadata or None,  # type: ignore[arg-type]  # checked by decode
    )


def replayed(message: MessageFacts) -> protocol.Frame:
    """A stored message, as `resume` sends it."""
    timestamp = protocol.rfc3339(message.created_at)
    reply = reply_state(message.reply)
    if message.sender == "ai":
        return protocol.AiResponse(
            session_id=message.session_id,
            timestamp=timestamp,
            content=message.content,
            reply_id=message.reply.reply_id if message.reply else message.message_id,
            in_reply_to=message.reply.in_reply_to if message.reply else "",
            offset=0,
            metadata=protocol.DONE,
            seq=message.seq,
            message_id=message.message_id,
            content_length=len(message.content),
            state=message.reply.state if message.reply else "complete",
            model_id=message.model_id or None,
            reply=reply,
        )
    return protocol.UserMessageFrame(
        session_id=message.session_id,
        sender=message.sender,
        timestamp=timestamp,
        content=message.content,
        message_id=message.message_id,
        seq=message.seq,
        client_ref=message.client_ref,
        model_id=message.model_id or None,
        metadata=message.metadata or None,  # type: ignore[arg-type]  # stored as checked
        reply=reply,
    )


def running(session_id: str, reply: ReplyFacts) -> list[protocol.Frame]:
    """A reply that another process is writing, as of its last checkpoint."""
    loading = protocol.Loading(session_id=session_id, reply_id=reply.reply_id, in_reply_to=reply.in_reply_to)
    if not reply.text:
        return [loading]
    return [
        loading,
        protocol.AiResponse(
            session_id=session_id,
            content=reply.text,
            reply_id=reply.reply_id,
            in_reply_to=reply.in_reply_to,
            offset=0,
            metadata=protocol.STREAMING,
        ),
    ]


def reply_state(reply: ReplyFacts | None) -> protocol.ReplyState | None:
    if reply is None:
        return None
    error = msgspec.convert(reply.error, ErrorPayload) if reply.error else None
    return protocol.ReplyState(reply_id=reply.reply_id, state=reply.state, error=error)
