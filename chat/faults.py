"""Faults on request that happen before a message is acknowledged. In the pipeline only where `fault_commands` is on."""

from __future__ import annotations

from collections import deque

from django.db import OperationalError
from msgspec import UNSET

from chat import protocol, sessions
from chat.connection import Connection
from chat.llm.demo import fault_kind
from chat.models import ChatSession
from errors.context import RouteContext
from errors.exceptions import ChatError
from errors.middleware import Step
from errors.taxonomy import TOO_MANY_REQUESTS, UNAUTHORIZED

_RETRY_AFTER_MS = 2_000
_MAX_REMEMBERED = 1_000  # faults that have happened; the same message sent again passes


class Faults:
    """Which faults are armed, and which have happened. One per event loop; owned by `runtime`."""

    def __init__(self) -> None:
        self._failed: deque[tuple[str, str]] = deque(maxlen=_MAX_REMEMBERED)
        self._registration: set[str] = set()

    def is_first(self, user_id: str, ref: str | None) -> bool:
        """Whether this message has not failed before; one without a ref always fails."""
        if ref is None:
            return True
        if (user_id, ref) in self._failed:
            return False
        self._failed.append((user_id, ref))
        return True

    def arm_registration(self, user_id: str) -> None:
        self._registration.add(user_id)

    def is_registration_armed(self, user_id: str) -> bool:
        return user_id in self._registration

    def owned(self, session_id: str, user_id: str) -> ChatSession:
        """`sessions.owned`, which fails once for a user whose registration is armed. Runs on a database thread."""
        if user_id in self._registration:
            self._registration.discard(user_id)
            raise OperationalError("server closed the connection unexpectedly (/fault registration)")
        return sessions.owned(session_id, user_id)


class FaultMiddleware:
    """Raises what `/fault ratelimit`, `database` and `auth` ask for; `/fault registration` arms the next registration."""

    def __init__(self, next_step: Step, connection: Connection) -> None:
        self.next_step = next_step
        self.connection = connection

    async def __call__(self, message: protocol.Inbound, context: RouteContext) -> None:
        connection, faults = self.connection, self.connection.runtime.faults
        kind = fault_kind(message.content) if isinstance(message, protocol.UserMessage) else None
        if kind in {"ratelimit", "database", "auth"} and faults.is_first(connection.user_id, context.ref):
            raise _RAISED[kind]()
        if faults.is_registration_armed(connection.user_id) and message.session_id is not UNSET:
            connection.unregister(message.session_id)  # so that this message has to register again
        await self.next_step(message, context)
        if kind == "registration":
            faults.arm_registration(connection.user_id)


_RAISED = {
    "ratelimit": lambda: ChatError(TOO_MANY_REQUESTS, retry_after_ms=_RETRY_AFTER_MS, detail="/fault ratelimit"),
    "database": lambda: OperationalError("server closed the connection unexpectedly (/fault database)"),
    "auth": lambda: ChatError(UNAUTHORIZED, detail="/fault auth"),
}
