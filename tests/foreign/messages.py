"""A host project's own kind of message, and its own handler."""

from __future__ import annotations

from chat.connection import Connection
from chat.message_types import MessageType
from chat.protocol import Inbound, Notification


class Shout(Inbound, frozen=True, kw_only=True, tag="print.shout"):
    session_id: str
    words: str


async def shout(connection: Connection, message: Shout) -> None:
    connection.respond(Notification(session_id=message.session_id, content=message.words.upper(), metadata={}))


SHOUT = MessageType(Shout, shout)
