"""Makes frames from what is stored, for those who were not there when it happened."""

from __future__ import annotations

from typing import Protocol

import msgspec

from chat import protocol
from chat.entries import Draft, Stored
from chat.history import MessageFacts, ReplyFacts
from chat.models import ReplyPhase
from errors.failure import ErrorPayload
from errors.loggers import get_logger

log = get_logger("chat.frames")


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
        # Who hears no more of the answer knows by this that there is one to ask for.
        reply=protocol.ReplyState(reply_id=stored.reply_id, state=ReplyPhase.PENDING) if stored.reply_id else None,
    )


def titled(session_id: str, title: str) -> protocol.Notification:
    """A session has got its title, for the lists of all its owner's devices."""
    return protocol.Notification(session_id=session_id, metadata={"event": "session_updated", "title": title})


def replayed(message: MessageFacts) -> list[protocol.Frame]:
    """A stored message, as `resume` sends it: one frame, or several for a reply that is too long for one."""
    return _replayed_answer(message) if message.sender == "ai" else [_replayed_message(message)]


def _replayed_answer(message: MessageFacts) -> list[protocol.Frame]:
    reply_id = message.reply.reply_id if message.reply else message.message_id
    in_reply_to = message.reply.in_reply_to if message.reply else ""
    continues = message.reply.continues if message.reply else None
    *first, (offset, content) = protocol.pieces(message.content)
    last = protocol.AiResponse(
        session_id=message.session_id,
        timestamp=protocol.rfc3339(message.created_at),
        content=content,
        reply_id=reply_id,
        in_reply_to=in_reply_to,
        continues=continues,
        offset=offset,
        metadata=protocol.DONE,
        seq=message.seq,
        message_id=message.message_id,
        content_length=len(message.content),
        state=message.reply.state if message.reply else "complete",
        model_id=message.model_id or None,
        reply=reply_state(message.reply),
    )
    return [*(_chunk(message.session_id, reply_id, in_reply_to, continues, *piece) for piece in first), last]


def _replayed_message(message: MessageFacts) -> protocol.Frame:
    return protocol.UserMessageFrame(
        session_id=message.session_id,
        sender=message.sender,
        timestamp=protocol.rfc3339(message.created_at),
        content=message.content,
        message_id=message.message_id,
        seq=message.seq,
        client_ref=message.client_ref,
        model_id=message.model_id or None,
        metadata=message.metadata or None,  # type: ignore[arg-type]  # stored as checked
        reply=reply_state(message.reply),
    )


class Running(Protocol):
    """A reply that is being written."""

    @property
    def reply_id(self) -> str: ...

    @property
    def in_reply_to(self) -> str: ...

    @property
    def continues(self) -> str | None: ...


def loading(session_id: str, reply: Running) -> protocol.Loading:
    return protocol.Loading(
        session_id=session_id, reply_id=reply.reply_id, in_reply_to=reply.in_reply_to, continues=reply.continues
    )


def so_far(session_id: str, reply: Running, text: str, start: int = 0) -> list[protocol.Frame]:
    """The text of a running reply from `start` on, in as many chunks as it needs."""
    if len(text) <= start:
        return []
    facts = session_id, reply.reply_id, reply.in_reply_to, reply.continues
    return [_chunk(*facts, *piece) for piece in protocol.pieces(text, start)]


def _chunk(
    session_id: str, reply_id: str, in_reply_to: str, continues: str | None, offset: int, content: str
) -> protocol.AiResponse:
    return protocol.AiResponse(
        session_id=session_id,
        content=content,
        reply_id=reply_id,
        in_reply_to=in_reply_to,
        continues=continues,
        offset=offset,
        metadata=protocol.STREAMING,
    )


def silent_end(session_id: str, reply: ReplyFacts) -> protocol.Frame:
    """The end of a reply that had no text: it failed, or was stopped before the first word."""
    if error := _told(reply):
        return protocol.ErrorFrame(
            session_id=session_id,
            reply_id=reply.reply_id,
            in_reply_to=reply.in_reply_to,
            continues=reply.continues,
            error=error,
        )
    return protocol.AiResponse(
        session_id=session_id,
        content="",
        reply_id=reply.reply_id,
        in_reply_to=reply.in_reply_to,
        continues=reply.continues,
        offset=0,
        metadata=protocol.DONE,
        content_length=0,
        state=reply.state,
    )


def reply_state(reply: ReplyFacts | None) -> protocol.ReplyState | None:
    if reply is None:
        return None
    return protocol.ReplyState(
        reply_id=reply.reply_id, state=reply.state, error=_told(reply), continues=reply.continues
    )


def _told(reply: ReplyFacts) -> ErrorPayload | None:
    """The error that people were told. One of another version, which cannot be read, is left out: its reply failed."""
    try:
        return msgspec.convert(reply.error, ErrorPayload) if reply.error else None
    except msgspec.ValidationError:
        log.warning("chat.stored_error_unreadable", reply_id=reply.reply_id)
        return None
