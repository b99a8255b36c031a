"""`user_message`: store it, acknowledge it, show it to the session's other connections, begin to answer."""

from __future__ import annotations

from msgspec import UNSET

from chat import frames, groups, protocol
from chat.connection import Connection
from chat.entries import Draft
from chat.llm import registry
from errors.taxonomy import Outcome


async def handle(connection: Connection, message: protocol.UserMessage) -> None:
    runtime, route = connection.runtime, connection.route
    draft = Draft(
        user_id=connection.user_id,
        content=message.content,
        session_id=None if message.session_id is UNSET else message.session_id,
        ref=route.ref,
        model_id="" if message.model_id is UNSET else registry.check_model(runtime.backend, message.model_id),
        metadata={} if message.metadata is UNSET else dict(message.metadata),
    )
    stored = await runtime.journal.append(draft)
    route.session_id, route.outcome = stored.session_id, Outcome.SAVED
    connection.register(stored.session_id)
    connection.respond(
        protocol.Ack(
            session_id=stored.session_id,
            message_id=stored.message_id,
            seq=stored.seq,
            reply_id=stored.reply_id,
            duplicate=stored.duplicate,
        )
    )
    connection.note_own(stored.session_id, stored.seq, is_new=not stored.duplicate)
    if stored.duplicate:
        return
    if connection.reaches_others(stored.session_id):
        connection.broadcast(stored.session_id, frames.user_message(stored, draft))
    runtime.activity.note(connection.user_id, stored.session_id)
    if stored.new_title:
        runtime.hub.broadcast(groups.of_user(connection.user_id), frames.titled(stored.session_id, stored.new_title))
    if stored.reply_id:
        runtime.replies.start(stored.reply_id, session_id=stored.session_id, in_reply_to=stored.message_id, route=route)
