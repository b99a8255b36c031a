"""Providers that did not end when they were asked to: their replies have ended without them."""

from __future__ import annotations

import asyncio

from chat import telemetry

_LAST_ASKED_S = 0.1  # seconds for them when the server ends


class Abandoned:
    """One per event loop; keeps each one's task for as long as it goes on, and counts them."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def adopt(self, provider: asyncio.Task[None]) -> None:
        self._tasks.add(provider)
        telemetry.PROVIDERS_ABANDONED.inc()
        provider.add_done_callback(self._part_with)

    def _part_with(self, provider: asyncio.Task[None]) -> None:
        self._tasks.discard(provider)
        telemetry.PROVIDERS_ABANDONED.dec()

    async def aclose(self) -> None:
        """Ask them once more, and wait for a moment only: they were asked before, and the process ends."""
        if self._tasks:
            for provider in self._tasks:
                provider.cancel()
            await asyncio.wait(self._tasks, timeout=_LAST_ASKED_S)
