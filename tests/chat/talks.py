"""Stored conversations, for the tests of the admin."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.core.cache import cache
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from chat.models import ChatMessage, ChatSession, Reply
from tests.errors.stored import store

LIST = "/admin/chat/chatsession/"


def staff(name: str, *permissions: str, is_superuser: bool = False) -> Client:
    """Somebody of the staff with exactly these permissions, signed in."""
    cache.clear()
    user = get_user_model().objects.create_user(name, is_staff=True, is_superuser=is_superuser)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    client = Client()
    client.force_login(user)
    return client


def reader(name: str = "rita") -> Client:
    """Staff who may see sessions, read them, and see failures."""
    return staff(name, "view_chatsession", "read_transcript", "view_routingfailure")


def session(owner: Any, title: str = "Hello", *, ago: timedelta = timedelta(), **fields: Any) -> ChatSession:
    moment = timezone.now() - ago
    return ChatSession.objects.create(owner=owner, title=title, created_at=moment, last_activity_at=moment, **fields)


def say(talk: ChatSession, content: str, sender: str = "user") -> ChatMessage:
    talk.last_seq += 1
    talk.save()
    return ChatMessage.objects.create(session=talk, seq=talk.last_seq, sender=sender, content=content)


def answer(asked: ChatMessage, content: str, state: str = "complete", **fields: Any) -> Reply:
    """The assistant's answer, as a reply and as the message that it became."""
    talk = asked.session
    return _reply(asked, state, answer=say(talk, content, "ai"), **fields)


def fail(asked: ChatMessage, code: str = "LLM_UNAVAILABLE", **fields: Any) -> str:
    """A failed reply with its record; returns the reference."""
    reference = store(code, session_id=str(asked.session_id), in_reply_to=str(asked.pk)).reference
    _reply(asked, "failed", error={"code": code, "reference": reference, "message": "m"}, **fields)
    return reference


def _reply(asked: ChatMessage, state: str, **fields: Any) -> Reply:
    now = timezone.now()
    ended = None if state in {"pending", "streaming"} else now + timedelta(seconds=3.4)
    return Reply.objects.create(
        session=asked.session, message=asked, owner_key="1", state=state, lease_until=now, ended_at=ended, **fields
    )


def page(talk: ChatSession) -> str:
    return reverse("admin:chat_chatsession_change", args=[talk.pk])
