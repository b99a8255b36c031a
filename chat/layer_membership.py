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
        on_joined: Called with the groups that this channel has joined now, and did not `enter` with.
    """

    def __init__(
        self,
        wanted: Collection[str],
        always: tuple[str, ...],
        try_call: Try,
        on_joined: Callable[[Collection[str]], None],
    ) -> None:
        self.joined: set[str] = set()  # groups of which the layer knows us as a member
        self._wanted = wanted
        self._always = always
        self._try = try_call
        self._on_joined = on_joined
        self._changed: set[str] = set()  # groups to be looked at
        self._stale: set[str] = set()  # joined ones, of which the layer is to be told again
        self._wake = asyncio.Event()
        self._layer: Any = None
        self._channel: str | None = None

    def look_at(self, group: str) -> None:
        self._changed.add(group)
        self._wake.set()

    async def enter(self, layer: Any, channel: str) -> None:
        """Begin on another channel, which is in no group yet: with those of every hub. `follow` brings the others."""
        self._layer, self._channel, self.joined, self._stale = layer, None, set(), set()
        for group in self._always:
            if await self._try("group_add", layer.group_add(group, channel)):
                self.joined.add(group)

    def follow(self, channel: str) -> None:
        """Join what is wanted with the channel that has entered."""
        self._channel = channel
        self._changed |= {*self._wanted, *self._always}
        self._wake.set()

    def suspend(self) -> None:
        """There is no channel for now."""
        self._channel = None

    def renew(self) -> None:
        """Join everything again: what the layer has forgotten, it is told anew."""
        self._stale |= self.joined
        self._changed |= self.joined
        self._wake.set()

    async def keep(self) -> None:
        """Join and leave as connections come and go."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._changed and self._channel is not None:
                layer, channel = self._layer, self._channel
                some = [self._changed.pop() for _ in range(min(_AT_ONCE, len(self._changed)))]
                before = self.joined.intersection(some)
                done = await asyncio.gather(*(self._settle(layer, channel, group) for group in some))
                new = self.joined.intersection(some) - before
                if new:
                    self._on_joined(new)
                failed = {group for group, is_done in zip(some, done, strict=True) if not is_done}
                if failed:
                    self._changed |= failed
                    await asyncio.sleep(_RETRY_S)

    async def _settle(self, layer: Any, channel: str, group: str) -> bool:
        is_wanted, is_joined = group in self._wanted or group in self._always, group in self.joined
        if is_wanted and (not is_joined or group in self._stale):
            if not await self._try("group_add", layer.group_add(group, channel)):
                return False
            if channel == self._channel:
                self.joined.add(group)
                self._stale.discard(group)
        elif is_joined and not is_wanted:
            if not await self._try("group_discard", layer.group_discard(group, channel)):
                return False
            if channel == self._channel:
                self.joined.discard(group)
                self._stale.discard(group)
        return True
