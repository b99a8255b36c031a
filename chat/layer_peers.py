"""The hubs of other processes, as far as they have said hello."""

from __future__ import annotations

import asyncio
from collections.abc import Collection

_HELLO_S = 5.0  # seconds between words to the other processes that we are there
_GONE_S = 16.0  # seconds without a hello until a process counts as gone


class Peers:
    """One per line to the layer."""

    def __init__(self) -> None:
        self._clock = asyncio.get_running_loop().time
        self._heard_at: dict[str, float] = {}
        self._hello_at = self._clock()  # our own last one

    @property
    def ids(self) -> Collection[str]:
        return self._heard_at.keys()

    def hear(self, hub_id: str) -> bool:
        """Note that a hub is there. Return whether it may have missed something.

        Who knows one other hub speaks to that one only, and a third may have been there before its hello was heard.
        """
        has_missed = len(self._heard_at) == 1 and hub_id not in self._heard_at
        self._heard_at[hub_id] = self._clock()
        return has_missed

    def is_hello_due(self) -> bool:
        """Whether to say hello, now: in time, and often while nobody is known. Who was silent for long is forgotten."""
        now = self._clock()
        if self._heard_at and now - self._hello_at <= _HELLO_S:
            return False
        self._hello_at = now
        self._heard_at = {hub_id: at for hub_id, at in self._heard_at.items() if now - at < _GONE_S}
        return True
