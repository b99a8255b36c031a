"""JSON of the API, from what is stored. The names are those of the wire protocol."""

from __future__ import annotations

from typing import Any

import msgspec

from chat import frames, protocol
from chat.history import MessageFacts
from chat.models import ChatSession


def session_shape(session: ChatSession) -> dict[str, Any]:
    return {
        "session_id": str(session.pk),
        "title": session.title,
        "model_id": session.model_id,
        "created_at": protocol.rfc3339(session.created_at),
        "last_activity_at": protocol.rfc3339(session.last_activity_at),
        "ended_at": protocol.rfc3339(session.ended_at) if session.ended_at else None,
        "last_seq": session.last_seq,
    }


def message_shape(message: MessageFacts) -> dict[str, Any]:
    reply = frames.reply_state(message.reply)
    shape = {
        "message_id": message.message_id,
        "seq": message.seq,
        "sender": message.sender,
        "content": message.content,
        "timestamp": protocol.rfc3339(message.created_at),
        "client_ref": message.client_ref,
        "model_id": message.model_id or None,
        "metadata": message.metadata or None,
        "in_reply_to": message.reply.in_reply_to if message.reply and message.sender == "ai" else None,
        "reply": msgspec.to_builtins(reply) if reply else None,
    }
    return {key: value for key, value in shape.items() if value is not None}
