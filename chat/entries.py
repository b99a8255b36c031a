"""What goes into the journal, and what comes back: values that journal, replies and handlers share."""

from __future__ import annotations

from datetime import datetime

import msgspec

from chat.llm.base import Usage


class Deferred(Exception):
    """Another process holds what this job needs; it belongs in the next batch."""


class Draft(msgspec.Struct, frozen=True, kw_only=True):
    """A validated user message. Without `session_id` it opens a session."""

    user_id: str
    content: str
    session_id: str | None = None
    ref: str | None = None
    model_id: str = ""
    metadata: dict[str, object] = {}


class Stored(msgspec.Struct, frozen=True, kw_only=True):
    message_id: str
    session_id: str
    seq: int
    reply_id: str | None  # None: the session's assistant is switched off
    duplicate: bool
    created_at: datetime
    new_title: str | None = None  # the message gave its session this title


class Retried(msgspec.Struct, frozen=True):
    reply_id: str
    session_id: str
    message_id: str
    seq: int
    is_new: bool
    continues: str | None = None  # the reply from whose text this one goes on


class Figures(msgspec.Struct):
    """What a reply cost, by the provider's count or our estimate, and took; None where it is not known."""

    model_id: str = ""  # of the configuration; empty where none was asked
    usage: Usage | None = None
    first_token_ms: int | None = None
    total_ms: int | None = None


class Ended(msgspec.Struct, frozen=True):
    """How a reply ended. `message_id` and `seq` are None when no text had arrived."""

    state: str
    message_id: str | None
    seq: int | None


class Orphan(msgspec.Struct, frozen=True):
    """A running reply whose process is gone, taken over by this one."""

    reply_id: str
    session_id: str
    message_id: str
    user_id: str
    client_ref: str | None
    attempt: int
    text: str
    wants_stop: bool  # somebody asked to stop it
    continues: str | None = None
