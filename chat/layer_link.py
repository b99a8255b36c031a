"""The hub's line to the channel layer: membership in its groups, what goes out, what comes in, and whether it is open.

It runs four tasks, and no connection waits for any of them. Each call to the layer has a time limit. An open line is
proven by hearing ourselves: a beat through a group of our own comes back. What could not be published while it was
closed is remembered by the names of its groups, and their members everywhere are told to look into the database.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Coroutine
from typing import Any

from chat import conf, groups, layer_kinds
from chat.encoded import Encoded
from chat.layer_membership import Membership
from chat.layer_outgoing import Outgoing
from chat.layer_peers import Peers
from errors.loggers import get_logger

log = get_logger("chat.hub")

_RETRY_S = 0.5  # seconds until the layer is tried again
_BEAT_S = 0.4  # seconds between beats; a line that is back is noticed within one
_SILENT_S = 2.0  # seconds without hearing ourselves until the line counts as down
_DEAF_S = 1.0  # seconds until a beat that went out and did not come back means a dead subscription


class LayerLink:
    """One per hub.

    Args:
        hub_id: Names the hub to itself and to others.
        wanted: The groups that have members here; a live view.
        on_event: Called with each event of other senders. What it raises is logged and stays here.
        on_return: Called when the line is whole again after it was not: anything may have been lost meanwhile.
        on_gap: Called with names of groups whose frames may have been lost on the way to us.

    Attributes:
        is_shared: Whether the layer reaches other processes; the in-memory one does not.
        is_open: Whether we have lately heard ourselves.
    """

    def __init__(
        self,
        hub_id: str,
        *,
        wanted: Collection[str],
        on_event: Callable[[dict[str, Any]], None],
        on_return: Callable[[], None],
        on_gap: Callable[[Collection[str]], None],
    ) -> None:
        self._hub_id = hub_id
        self._own_group = groups.of_hub(hub_id)
        self._on_event = on_event
        self._on_return = on_return
        self._on_gap = on_gap
        self._layer: Any = None
        self.is_shared = layer_kinds.is_shared()
        self.is_open = True
        self._heard_at = asyncio.get_running_loop().time()
        self._sent_beat = self._heard_beat = 0  # the numbers of the last ones
        self._peers = Peers()
        self._channel: str | None = None
        self._pump_task: asyncio.Task[None] | None = None
        self._always = groups.HUBS, self._own_group  # we are in these, whoever is connected
        self.membership = Membership(wanted, self._always, self._try, self._on_joined)
        self._outgoing = Outgoing(self._publish, self._peers, is_open=lambda: self.is_open, on_gap=on_gap)
        self._is_closed = False

    # --- What the hub calls: plain functions that never wait ---

    @property
    def must_publish(self) -> bool:
        """Whether anybody could hear us who does not hear us already."""
        return self.is_shared or not conf.chat().local_delivery

    def put_frame(self, group: str, frame: Encoded, except_id: str | None, token: int | None) -> bool:
        """Have a frame published; return False if the line is down or its queue is full."""
        if self.is_open and self._outgoing.put_frame(group, [frame.pack(), except_id, token]):
            return True
        self._outgoing.miss(group)
        return False

    def put_control(self, group: str, name: str, value: str) -> None:
        """Have a control published, also when the line seems to be down: they are few, and people wait for them."""
        self._outgoing.put_control(group, name, value)

    # --- The tasks ---

    def work(self) -> tuple[Coroutine[Any, Any, None], ...]:
        return self.receive(), self.membership.keep(), self._outgoing.keep_sending(), self.watch()

    async def receive(self) -> None:
        """Hear the layer. Never under a time limit: cancelling its receive deletes the channel."""
        is_first = True
        while not self._is_closed:
            try:
                pump = await self._open()
                if not is_first:
                    self._on_return()  # for what was said while there was no line, or a dead one
                await asyncio.wait({pump})
                if not pump.cancelled():
                    pump.result()
            except Exception as exc:
                log.log(self._level, "chat.layer_receive_failed", cause=type(exc).__name__)
                self._forget_channel()
                await asyncio.sleep(_RETRY_S)
            finally:
                is_first = False
                self._forget_channel()
                if self._pump_task is not None:
                    self._pump_task.cancel()

    async def _open(self) -> asyncio.Task[None]:
        """Open a channel, and hear it; return the task that does.

        Raises:
            Exception: What the layer raises; ConnectionError where nobody could be told of us.
        """
        if self._layer is None:
            self._layer = layer_kinds.open_own()
        layer = self._layer
        async with asyncio.timeout(conf.chat().layer_timeout_s):
            channel = await layer_kinds.new_channel(layer)
        await self.membership.enter(layer, channel)
        self._heard_beat = self._sent_beat
        self._pump_task = pump = asyncio.create_task(self._pump(layer, channel))
        # Others may speak to each other only as long as they do not know of us. So they are told before the wanted
        # groups are joined: what they have said until then is looked up after the join.
        if self.is_shared and not await self._publish(groups.HUBS, {"hello": True}):
            raise ConnectionError("no hello")
        if layer is not self._layer:
            raise ConnectionError("given up meanwhile")
        self._channel = channel
        self.membership.follow(channel)
        return pump

    def _on_joined(self, names: Collection[str]) -> None:
        """What was said in a group before the layer had joined it, we have not heard."""
        if not self.must_publish:
            return
        if any(group in names for group in self._always):
            self._on_return()  # through these come all controls, and frames of any group
        else:
            self._on_gap(names)

    def _forget_channel(self) -> None:
        self._channel = None
        self.membership.suspend()

    async def _pump(self, layer: Any, channel: str) -> None:
        while True:
            event = await layer.receive(channel)
            origin = event.get("origin") if isinstance(event, dict) else None
            if isinstance(origin, str) and ("beat" in event or "hello" in event):
                self._on_sign(origin, event.get("beat"))
            elif origin != self._hub_id or not conf.chat().local_delivery:
                self._on_event(event)

    def _on_sign(self, origin: str, beat: object) -> None:
        if origin != self._hub_id:
            if self._peers.hear(origin):
                self._outgoing.miss(groups.HUBS)
                self._outgoing.wake()
            return
        self._heard_at = asyncio.get_running_loop().time()
        is_whole = True
        if isinstance(beat, int):
            is_whole, self._heard_beat = beat <= self._heard_beat + 1, beat
        if not self.is_open:
            self.is_open = True
            log.info("chat.layer_returned")
            self._outgoing.wake()
            self._on_return()
        elif not is_whole:
            log.info("chat.layer_gap")
            self._on_return()

    async def _publish(self, group: str, event: dict[str, Any]) -> bool:
        return await self._try("group_send", self._send(group, event))

    async def _send(self, group: str, event: dict[str, Any]) -> None:
        if self._layer is None:
            raise ConnectionError("the layer was never reached")
        await self._layer.group_send(group, {"type": groups.EVENT, "origin": self._hub_id, **event})

    async def watch(self) -> None:
        """Keep listening to ourselves, rejoin in time, and replace a line that went deaf."""
        loop = asyncio.get_running_loop()
        sent_at: float | None = None  # of the first beat since we heard the last one
        rejoined_at = loop.time()
        while True:
            await asyncio.sleep(_BEAT_S)
            now = loop.time()
            if now - rejoined_at > layer_kinds.rejoin_s(self._layer):
                rejoined_at = now
                self.membership.renew()
            if not self.is_shared:
                continue
            if self._layer is not None:
                if self._peers.is_hello_due():
                    await self._publish(groups.HUBS, {"hello": True})
                is_sent = await self._publish(self._own_group, {"beat": self._sent_beat + 1})
                self._sent_beat += is_sent
                if sent_at is None or self._heard_at >= sent_at:
                    sent_at = now if is_sent else None
                elif loop.time() - sent_at > _DEAF_S:
                    log.warning("chat.layer_deaf")
                    sent_at = None
                    self._replace()
            if self.is_open and loop.time() - self._heard_at > _SILENT_S:
                self.is_open = False
                log.warning("chat.layer_silent", silent_s=round(loop.time() - self._heard_at, 1))

    def _replace(self) -> None:
        """Begin anew with the layer: `receive` opens another line."""
        layer, self._layer = self._layer, None
        self._forget_channel()
        if self._pump_task is not None:
            self._pump_task.cancel()
        self._closing = asyncio.create_task(layer_kinds.close_dead(layer))

    async def aclose(self, timeout_s: float) -> None:
        """Leave the layer's groups, if that is quick: a layer that keeps members beyond a connection is told."""
        self._is_closed = True
        layer, channel, self._layer = self._layer, self._channel, None
        if layer is None or channel is None:
            return
        try:
            async with asyncio.timeout(timeout_s):
                await layer_kinds.leave(layer, channel, self.membership.joined)
        except Exception as exc:
            log.info("chat.layer_not_left", cause=type(exc).__name__)

    async def _try(self, call: str, awaitable: Awaitable[Any]) -> bool:
        try:
            async with asyncio.timeout(conf.chat().layer_timeout_s):
                await awaitable
        except Exception as exc:
            log.log(self._level, "chat.layer_failed", call=call, cause=type(exc).__name__)
            return False
        return True

    @property
    def _level(self) -> int:
        """Once it is known that the layer is away, each failing try says nothing new."""
        return logging.WARNING if self.is_open else logging.DEBUG
