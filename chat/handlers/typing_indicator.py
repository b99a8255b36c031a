"""`typing_indicator`: shown on the session's other connections; not answered."""

from __future__ import annotations

from chat import protocol
from chat.connection import Connection


async def handle(connection: Connection, message: protocol.TypingIndicator) -> None:
    session_id = str(message.session_id)
    connection.broadcast(session_id, protocol.Typing(session_id=session_id))
