"""Tells all devices of a person in which session something was said, so that their lists of sessions stay in order.

Registered connections hear of it anyway; a page shows one session and lists thirty. A list needs to know when another
session has become the newest one, but not about every message, so what is noted is gathered for a second.
"""

from __future__ import annotations

import asyncio
import time

from chat import groups, protocol
from chat.hub import Hub

GATHER_S = 1.0  # seconds; at most one notification per person and process in this time
_FRESH_S = 60.0  # seconds; after it a session is told again although this process told no other since: another may have
_REMEMBERED = 10_000  # people whose newest session is known; a forgotten one costs a notification


class Activity:
    """One per event loop; owned by `runtime`, which also runs `tell`."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._told: dict[str, tuple[str, float]] = {}  # user -> newest session, and until when that is believed
        self._waiting: dict[str, tuple[str, bool]] = {}  # user -> newest session, and whether there were others
        self._wake = asyncio.Event()

    def note(self, user_id: str, session_id: str) -> None:
        """Something was said in a session. Simple and fast: every message passes through here."""
        waiting = self._waiting.get(user_id)
        if waiting is None:
            told, until = self._told.get(user_id, ("", 0.0))
            if told == session_id and time.monotonic() < until:
                return
            self._waiting[user_id] = session_id, False
            self._wake.set()
        elif waiting[0] != session_id:
            self._waiting[user_id] = session_id, True

    async def tell(self) -> None:
        """Broadcast what was noted."""
        while True:
            await self._wake.wait()
            await asyncio.sleep(GATHER_S)
            self._wake.clear()
            batch, self._waiting = self._waiting, {}
            until = time.monotonic() + _FRESH_S
            for user_id, (session_id, has_others) in batch.items():
                metadata: protocol.Metadata = {"event": "session_active"}
                if has_others:
                    metadata["others"] = True
                frame = protocol.Notification(session_id=session_id, metadata=metadata)
                self._hub.broadcast(groups.of_user(user_id), frame)
                self._told.pop(user_id, None)
                self._told[user_id] = session_id, until
            while len(self._told) > _REMEMBERED:
                del self._told[next(iter(self._told))]
