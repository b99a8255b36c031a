"""What goes out to the channel layer: gathered for a moment, sent, and remembered by name where that failed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection
from typing import Any

from chat import conf, groups
from chat.layer_batch import BEHIND, LayerBatch, Packed
from chat.layer_peers import Peers

_BATCH_S = 0.002  # seconds that frames gather, so that one layer message carries several
_RETRY_S = 0.5  # seconds until the layer is tried again
_MAX_MISSED = 10_000  # groups remembered by name while the layer is away


class Outgoing:
    """One per line to the layer.

    Args:
        publish: Sends one event to a group, and returns whether that worked.
        peers: The other hubs.
        is_open: Whether we have lately heard ourselves.
        on_gap: Called with names of groups whose frames will not come back to us.
    """

    def __init__(
        self,
        publish: Callable[[str, dict[str, Any]], Awaitable[bool]],
        peers: Peers,
        *,
        is_open: Callable[[], bool],
        on_gap: Callable[[Collection[str]], None],
    ) -> None:
        self._publish = publish
        self._peers = peers
        self._is_open = is_open
        self._on_gap = on_gap
        self._batch = LayerBatch()
        self._missed: set[str] = set()  # groups whose frames were not published
        self._wake = asyncio.Event()

    def put_frame(self, group: str, item: Packed) -> bool:
        """Have a frame sent; return False if there is no room."""
        if not self._batch.add_frame(group, item):
            return False
        self._wake.set()
        return True

    def put_control(self, group: str, name: str, value: str) -> None:
        self._batch.add_control(group, name, value)
        self._wake.set()

    def miss(self, *names: str) -> None:
        """These groups were not told something: they are told so with the next message, once the line is open."""
        self._missed.update(names)
        if len(self._missed) > _MAX_MISSED:
            self._missed = {groups.HUBS}  # everybody, then

    def wake(self) -> None:
        """Send now what waits."""
        self._wake.set()

    async def keep_sending(self) -> None:
        """Send what gathered: per group one message, or one for all groups where they are many and we are few."""
        while True:
            await self._wake.wait()
            await asyncio.sleep(_BATCH_S)
            self._wake.clear()
            batch, self._batch = self._batch, LayerBatch()
            if self._is_open():
                missed, self._missed = self._missed, set()
                for group in missed:
                    batch.add_control(group, BEHIND, "")
            for group, event, named in batch.messages(self._peers.ids if conf.chat().local_delivery else ()):
                if not await self._publish(group, event):
                    self.miss(*named)
                    asyncio.get_running_loop().call_later(_RETRY_S, self._wake.set)
                    if not conf.chat().local_delivery:
                        self._on_gap(named)  # it would have come back to us, too
