"""`ping`: answered by `pong`, so that a client knows the way is open."""

from __future__ import annotations

from chat import protocol
from chat.connection import Connection


async def handle(connection: Connection, message: protocol.Ping) -> None:
    connection.respond(protocol.Pong())
