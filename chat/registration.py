"""Registration: a connection joins the session that a message names, before the message is routed."""

from __future__ import annotations

from collections.abc import Callable

from msgspec import UNSET

from chat import protocol, sessions
from chat.connection import Connection
from errors.context import RouteContext
from errors.exceptions import ChatError
from errors.middleware import Step
from errors.taxonomy import NOT_FOUND, REGISTRATION_FAILED, Outcome, Stage


class RegistrationMiddleware:
    """Joins the connection to the session that a message names, before the message is routed.

    A foreign or unknown id is NOT_FOUND. Whatever else goes wrong is a registration failure: the message is not routed,
    nothing stays bound, and the next message registers again.
    """

    def __init__(self, next_step: Step, connection: Connection, *, find: Callable[[str, str], object]) -> None:
        self.next_step = next_step
        self.connection = connection
        self.find = find  # (session_id, user_id): raises NOT_FOUND unless the session is the user's

    async def __call__(self, message: protocol.Inbound, context: RouteContext) -> None:
        if not isinstance(message, protocol.Ping):
            context.stage = Stage.REGISTRATION
            try:
                await self._register(message, context)
            except ChatError as exc:
                if exc.spec is NOT_FOUND:
                    raise
                raise ChatError(REGISTRATION_FAILED, outcome=Outcome.REJECTED, detail=str(exc)) from exc
            except Exception as exc:
                raise ChatError(REGISTRATION_FAILED, outcome=Outcome.REJECTED) from exc
            context.stage = Stage.ROUTE
        await self.next_step(message, context)

    async def _register(self, message: protocol.Inbound, context: RouteContext) -> None:
        """Find the session that the message names, itself or by a reply or message of it; there may be none."""
        connection, threads = self.connection, self.connection.runtime.threads
        session_id = None if message.session_id is UNSET else message.session_id
        if isinstance(message, protocol.Stop):
            session_id = await threads.run(sessions.session_of_reply, message.reply_id, connection.user_id)
        elif isinstance(message, protocol.Retry):
            session_id = await threads.run(sessions.session_of_message, message.message_id, connection.user_id)
        if session_id is None:
            return
        context.session_id = session_id
        if not connection.is_registered(session_id):
            await threads.run(self.find, session_id, connection.user_id)
        connection.register(session_id)
