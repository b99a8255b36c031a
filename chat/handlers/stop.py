"""`stop`: end a running reply; its text so far is kept. One that has ended is acknowledged all the same."""

from __future__ import annotations

from chat import protocol
from chat.connection import Connection


async def handle(connection: Connection, message: protocol.Stop) -> None:
    reply_id = message.reply_id
    await connection.runtime.replies.stop(reply_id)
    connection.respond(protocol.Ack(session_id=connection.route.session_id, reply_id=reply_id))
