"""`retry`: answer a message again, unless its answer is running or complete."""

from __future__ import annotations

from msgspec import UNSET

from chat import protocol
from chat.connection import Connection
from chat.llm import registry
from errors.taxonomy import Outcome


async def handle(connection: Connection, message: protocol.Retry) -> None:
    runtime, route = connection.runtime, connection.route
    model_id = "" if message.model_id is UNSET else registry.check_model(runtime.backend, message.model_id)
    is_continued = message.metadata is not UNSET and message.metadata.get("mode") == "continue"
    retried = await runtime.journal.retry(
        str(route.session_id), message.message_id, connection.user_id, model_id, is_continued=is_continued
    )
    route.outcome = Outcome.SAVED
    connection.respond(
        protocol.Ack(
            session_id=retried.session_id,
            message_id=retried.message_id,
            seq=retried.seq,
            reply_id=retried.reply_id,
            duplicate=not retried.is_new,
            continues=retried.continues,
        )
    )
    if retried.is_new:
        runtime.replies.start(
            retried.reply_id,
            session_id=retried.session_id,
            in_reply_to=retried.message_id,
            route=route,
            continues=retried.continues,
        )
