"""Addresses between the admin's pages: from a stored failure to its conversation, and from a conversation back."""

from __future__ import annotations

import uuid
from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse

from chat.models import ChatSession

VIEW = "chat.view_chatsession"
READ = "chat.read_transcript"
VIEW_FAILURES = "errors.view_routingfailure"


def conversation(request: HttpRequest, failure: Any) -> str | None:
    """Return where this reader finds the conversation of a stored failure; None if it is gone, or not for them.

    ERRORS["conversation_link"] names this function, unless a project sets another. What a failure holds may be
    anything that a client sent.
    """
    session_id = as_key(failure.session_id)
    if session_id is None or not request.user.has_perm(VIEW):
        return None
    if not ChatSession.objects.filter(pk=session_id).exists():
        return None
    try:
        address = reverse("admin:chat_chatsession_change", args=[session_id])
    except NoReverseMatch:
        return None  # a project whose admin shows failures, and no conversations
    message_id = as_key(failure.in_reply_to)
    if message_id is None or not request.user.has_perm(READ):
        return address
    return f"{address}?{urlencode({'message': message_id})}#{anchor(message_id)}"


def anchor(message_id: uuid.UUID) -> str:
    """Return the id that a message has on the page of its conversation."""
    return f"message-{message_id}"


def as_key(text: str) -> uuid.UUID | None:
    """Return the key that `text` names in any spelling; None if it names none."""
    try:
        return uuid.UUID(text.strip())
    except ValueError:
        return None
