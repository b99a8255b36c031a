"""`model_select`: the model that answers this session from now on."""

from __future__ import annotations

from chat import groups, protocol, sessions
from chat.connection import Connection
from chat.llm import registry


async def handle(connection: Connection, message: protocol.ModelSelect) -> None:
    model_id = registry.check_model(connection.runtime.backend, message.model_id)
    session_id = str(message.session_id)
    await connection.runtime.threads.run(sessions.select_model, session_id, connection.user_id, model_id)
    connection.respond(protocol.Ack(session_id=session_id))
    connection.runtime.hub.broadcast(
        groups.of_user(connection.user_id),
        protocol.Notification(session_id=session_id, metadata={"event": "session_updated", "model_id": model_id}),
    )
