"""Conversations that are there before a walk begins."""

from __future__ import annotations

from chat.models import ChatMessage, ChatSession


async def quiet_session(user_id: str, length: int) -> str:
    """Store a session with so many messages of its owner, and no answers; its id."""
    session = await ChatSession.objects.acreate(owner_id=user_id, last_seq=length)
    await ChatMessage.objects.abulk_create(
        ChatMessage(session=session, seq=seq, sender="user", content=f"line {seq}") for seq in range(1, length + 1)
    )
    return str(session.pk)
