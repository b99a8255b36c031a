"""Faults on request that happen before a message is acknowledged. In the pipeline only where `fault_commands` is on."""

from __future__ import annotations

from django.db import OperationalError
from msgspec import UNSET

from chat import protocol
from chat.connection import Connection
from chat.llm.demo import ASKED_FOR, fault_kind
from errors.context import RouteContext
from errors.exceptions import ChatError
from errors.middleware import Step
from errors.taxonomy import TOO_MANY_REQUESTS, UNAUTHORIZED

_RETRY_AFTER_MS = 5_000  # milliseconds; long enough to read the error before the page sends again by itself


class FaultMiddleware:
    """Raises what `/fault ratelimit`, `database` and `auth` ask for; `registration` arms the next registration."""

    def __init__(self, next_step: Step, connection: Connection) -> None:
        self.next_step = next_step
        self.connection = connection

    async def __call__(self, message: protocol.Inbound, context: RouteContext) -> None:
        connection, faults = self.connection, self.connection.runtime.faults
        kind = fault_kind(message.content) if isinstance(message, protocol.UserMessage) else None
        if kind in {"ratelimit", "database", "auth"} and faults.is_first(connection.user_id, context.ref):
            raise _RAISED[kind]()
        # Not for what a page sends by itself, as a typing indicator: its failure would be shown to nobody.
        is_asked_for = isinstance(message, protocol.UserMessage | protocol.Resume) and message.session_id is not UNSET
        if is_asked_for and faults.trip_registration(connection.user_id):
            connection.unregister(str(message.session_id))  # so that this message has to register again
        await self.next_step(message, context)
        if kind == "registration":
            faults.arm_registration(connection.user_id)


_RAISED = {
    "ratelimit": lambda: ChatError(TOO_MANY_REQUESTS, retry_after_ms=_RETRY_AFTER_MS, detail=ASKED_FOR),
    "database": lambda: OperationalError(f"server closed the connection unexpectedly ({ASKED_FOR})"),
    "auth": lambda: ChatError(UNAUTHORIZED, detail=ASKED_FOR),
}
