"""Which handler takes which message. A message type is a file in `handlers/` and a line here."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from chat import protocol
from chat.connection import Connection
from chat.handlers import model_select, ping, resume, retry, stop, typing_indicator, user_message
from errors.context import RouteContext

Handler = Callable[[Connection, Any], Awaitable[None]]

HANDLERS: dict[type[protocol.Inbound], Handler] = {
    protocol.UserMessage: user_message.handle,
    protocol.Resume: resume.handle,
    protocol.Stop: stop.handle,
    protocol.Retry: retry.handle,
    protocol.ModelSelect: model_select.handle,
    protocol.TypingIndicator: typing_indicator.handle,
    protocol.Ping: ping.handle,
}


async def route(connection: Connection, message: protocol.Inbound, context: RouteContext) -> None:
    """Hand the message to its handler. What the handler raises goes up."""
    await HANDLERS[type(message)](connection, message)
