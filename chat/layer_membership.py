"""In which of the channel layer's groups a hub's channel is: joins and leaves behind the scenes, many at once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection
from typing import Any

_RETRY_S = 0.5  # seconds until the layer is tried again
_AT_ONCE = 64  # groups that are joined at the same time: many after an outage, and no flood

Try = Callable[[str, Awaitable[Any]], Awaitable[bool]]


class Membership:
    """Follows what is wanted. One per line to the layer.

    Args:
        wanted: The groups that have members here; a live view.
        always: Further ones, joined first.
        try_call: Awaits one call to the layer, named for the log, and returns whether it worked.
    """

    def __init__(self, wanted: Collection[str], always: tuple[str, ...], try_call: Try) -> None:
        self.joined: set[str] = set()  # groups of which the layer knows us as a member
        self._wanted = wanted
        self._always = always
        self._try = try_call
        self._changed: set[str] = set()  # groups to be looked at
        self._wake = asyncio.Event()
        self._layer: Any = None
        self._channel: str | None = None

    def look_at(self, group: str) -> None:
        self._changed.add(group)
        self._wake.set()

    async def move_to(self, layer: Any, channel: str) -> None:
        """Begin on another channel, which is in no group yet."""
        self._layer, self._channel, self.joined = layer, channel, set()
        for group in self._always:
            await self._settle(layer, channel, group)
        self.renew()

    def suspend(self) -> None:
        """There is no channel for now."""
        self._channel = None

    def renew(self) -> None:
        """Join everything again: what the layer has forgotten, it is told anew."""
        everything = {*self._wanted, *self._always}
        self.joined -= everything
        self._changed |= everything
        self._wake.set()

    async def keep(self) -> None:
        """Join and leave as connections come and go."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._changed and self._channel is not None:
                layer, channel = self._layer, self._channel
                some = [self._changed.pop() for _ in range(min(_AT_ONCE, len(self._changed)))]
                done = await asyncio.gather(*(self._settle(layer, channel, group) for group in some))
                failed = {group for group, is_done in zip(some, done, strict=True) if not is_done}
                if failed:
                    self._changed |= failed
                    await asyncio.sleep(_RETRY_S)

    async def _settle(self, layer: Any, channel: str, group: str) -> bool:
        is_wanted, is_joined = group in self._wanted or group in self._always, group in self.joined
        if is_wanted and not is_joined:
            if not await self._try("group_add", layer.group_add(group, channel)):
                return False
            if channel == self._channel:
                self.joined.add(group)
        elif is_joined and not is_wanted:
            if not await self._try("group_discard", layer.group_discard(group, channel)):
                return False
            self.joined.discard(group)
        return True
