"""Which handler takes which message: a file in `handlers/` and a line here, or a project's own `message_types`."""

from __future__ import annotations

from chat import message_types, protocol
from chat.connection import Connection
from chat.handlers import model_select, ping, resume, retry, stop, typing_indicator, user_message
from chat.message_types import Handler
from errors.context import RouteContext

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
    kind = type(message)
    await (HANDLERS.get(kind) or message_types.handlers()[kind])(connection, message)
