"""What a journal is given in tests, and what it has stored."""

from __future__ import annotations

from asgiref.sync import sync_to_async

from chat.entries import Draft
from chat.models import ChatMessage, Reply


def draft(person, content="hello", **fields):
    return Draft(user_id=person.user_id, content=content, **fields)


@sync_to_async
def stored(session_id):
    return list(ChatMessage.objects.filter(session_id=session_id).order_by("seq").values_list("seq", "content"))


@sync_to_async
def replies(**filters):
    return list(Reply.objects.filter(**filters).order_by("attempt"))
