"""Which of the faults asked for with `/fault` are armed, and which have happened; see `fault_middleware`."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable

from django.db import OperationalError

from chat.llm.demo import ASKED_FOR
from chat.models import ChatSession

Find = Callable[[str, str], Awaitable[ChatSession]]  # (session_id, user_id)

_MAX_REMEMBERED = 1_000  # faults that have happened; the same message sent again passes


class Faults:
    """Which faults are armed, and which have happened. One per event loop; owned by `runtime`."""

    def __init__(self) -> None:
        self._failed: deque[tuple[str, str]] = deque(maxlen=_MAX_REMEMBERED)
        self._armed: set[str] = set()
        self._tripped: set[str] = set()

    def is_first(self, user_id: str, ref: str | None) -> bool:
        """Whether this message has not failed before; one without a ref always fails."""
        if ref is None:
            return True
        if (user_id, ref) in self._failed:
            return False
        self._failed.append((user_id, ref))
        return True

    def arm_registration(self, user_id: str) -> None:
        self._armed.add(user_id)

    def trip_registration(self, user_id: str) -> bool:
        """Whether this user's registration was armed; if so, the next look-up of theirs fails."""
        if user_id not in self._armed:
            return False
        self._armed.discard(user_id)
        self._tripped.add(user_id)
        return True

    def failing(self, find: Find) -> Find:
        """Return `find`, which then fails once for a user whose registration was tripped."""

        async def find_or_fail(session_id: str, user_id: str) -> ChatSession:
            if user_id in self._tripped:
                self._tripped.discard(user_id)
                raise OperationalError(f"server closed the connection unexpectedly ({ASKED_FOR})")
            return await find(session_id, user_id)

        return find_or_fail
