"""Registration: a connection joins the session that a message names, before the message is routed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from msgspec import UNSET, UnsetType

from chat import protocol, sessions
from chat.connection import Connection
from chat.idle_sessions import is_nearly_idle, mark_seen
from chat.models import ChatSession
from errors.context import RouteContext
from errors.exceptions import ChatError
from errors.middleware import Step
from errors.taxonomy import NOT_FOUND, REGISTRATION_FAILED, Outcome, Stage

Find = Callable[[str, str], Awaitable[ChatSession]]


class RegistrationMiddleware:
    """Joins the connection to the session that a message names, before the message is routed.

    A foreign or unknown id is NOT_FOUND. Any other fault is a registration failure: the message is not routed,
    nothing stays bound, and the next message registers again.
    """

    def __init__(self, next_step: Step, connection: Connection, *, find: Find) -> None:
        self.next_step = next_step
        self.connection = connection
        self.find = find  # (session_id, user_id): raises NOT_FOUND unless the session is the user's

    async def __call__(self, message: protocol.Inbound, context: RouteContext) -> None:
        if type(message) in self._INDIRECT or not self._is_registered(message.session_id):
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

    # They name their session by a reply or message of it.
    _INDIRECT = frozenset({protocol.Stop, protocol.Retry})
    # Their own answers tell how far the session has come.
    _SEEING = (protocol.UserMessage, protocol.Resume)

    def _is_registered(self, session_id: str | UnsetType) -> bool:
        """Whether there is nothing to do: no session is named, or the connection is with it already."""
        return session_id is UNSET or self.connection.touch(session_id)

    async def _register(self, message: protocol.Inbound, context: RouteContext) -> None:
        connection, threads = self.connection, self.connection.runtime.threads
        if isinstance(message, protocol.Stop):
            session_id = await threads.run(sessions.session_of_reply, message.reply_id, connection.user_id)
        elif isinstance(message, protocol.Retry):
            session_id = await threads.run(sessions.session_of_user_message, message.message_id, connection.user_id)
        else:
            session_id = str(message.session_id)
        context.session_id = session_id
        if not connection.touch(session_id):
            session = await self.find(session_id, connection.user_id)
            if is_nearly_idle(session):
                await threads.run(mark_seen, [session_id])
            connection.register(session_id, session.last_seq)
            if not isinstance(message, self._SEEING):
                # What was said after the look above and before the join was heard by nobody.
                connection.runtime.heartbeat.look_at((connection,))
