"""The event loop's turns. Code that never has to wait gives them by itself: nobody else would get any."""

from __future__ import annotations

import asyncio
import time

_TURN_S = 0.005  # seconds until the others have their turn; a turn costs some microseconds


class Turns:
    """`await turns.give()` in a loop that may go round and round with nothing to wait for."""

    __slots__ = ("_due",)

    def __init__(self) -> None:
        self._due = time.monotonic() + _TURN_S

    async def give(self) -> None:
        """Let everybody else have a turn, if the last one is some time ago."""
        if time.monotonic() >= self._due:
            await asyncio.sleep(0)
            self._due = time.monotonic() + _TURN_S
