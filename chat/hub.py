"""The hub: this process's one channel in the channel layer, and the groups of the connections that live here.

A connection joins a group here at once. That the hub itself joins the layer's group, so that other processes reach it,
is the work of a task of its own: a layer that is slow or away holds up no connection and closes none. The layer
delivers at most once and says nothing of losses; `seq`, heartbeats and `resume` repair what it lost.
"""

from __future__ import annotations

import asyncio
import uuid
from collections import defaultdict
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec
import structlog
from channels.layers import get_channel_layer

from chat import conf, groups, protocol
from chat.encoded import Encoded
from errors import recorder
from errors.context import RouteContext
from errors.exceptions import ChatError
from errors.taxonomy import INVALID_FORMAT, Stage

log = structlog.stdlib.get_logger("chat.hub")

_BATCH_S = 0.001  # seconds that frames gather, so that one layer message carries several
_RETRY_S = 1.0  # seconds until the layer is tried again
_MAX_WAITING = 10_000  # frames for a layer that is away; older ones are in the database


class Member(Protocol):
    """A connection, as the hub sees it."""

    id: str

    def deliver(self, frame: Encoded) -> bool: ...

    def end_login(self, login_key: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Delivery:
    """What became of a broadcast in this process."""

    deliveries: int = 0
    drops: int = 0


class Hub:
    """One per event loop; owned by `runtime`."""

    def __init__(self) -> None:
        self.id = uuid.uuid4().hex
        self._layer = get_channel_layer()
        self._members: dict[str, dict[Member, None]] = {}
        self._joined: set[str] = set()  # groups of which the layer knows us as a member
        self._changed: set[str] = set()  # groups whose membership in the layer is to be looked at
        self._membership_wake = asyncio.Event()
        self._outgoing: list[tuple[str, Encoded, str | None]] = []  # group, frame, connection left out
        self._outgoing_wake = asyncio.Event()
        self._channel: str | None = None

    # --- What connections and replies call: plain functions that never wait ---

    def join(self, member: Member, group: str) -> None:
        members = self._members.setdefault(group, {})
        members[member] = None
        self._look_at(group)

    def leave(self, member: Member, group: str) -> None:
        members = self._members.get(group)
        if members is None:
            return
        members.pop(member, None)
        if not members:
            del self._members[group]
            self._look_at(group)

    def broadcast(self, group: str, frame: protocol.Frame, *, except_for: Member | None = None) -> Delivery:
        """Hand a frame to every member of the group, here and, through the layer, on other processes.

        Returns:
            What this process could deliver; of other processes nothing is known.
        """
        encoded = Encoded.of(frame)
        except_id = except_for.id if except_for else None
        if len(self._outgoing) < _MAX_WAITING:
            self._outgoing.append((group, encoded, except_id))
            self._outgoing_wake.set()
        if not conf.chat().local_delivery:
            return Delivery(deliveries=len(self._members.get(group, ())))
        return self._deliver(group, encoded, except_id)

    def _deliver(self, group: str, frame: Encoded, except_id: str | None) -> Delivery:
        deliveries = drops = 0
        for member in tuple(self._members.get(group, ())):
            if member.id == except_id:
                continue
            if member.deliver(frame):
                deliveries += 1
            else:
                drops += 1
        return Delivery(deliveries, drops)

    def _look_at(self, group: str) -> None:
        self._changed.add(group)
        self._membership_wake.set()

    # --- The three tasks that talk to the layer ---

    async def keep_membership(self) -> None:
        """Join and leave the layer's groups as connections come and go."""
        while True:
            await self._membership_wake.wait()
            self._membership_wake.clear()
            while self._changed and self._channel is not None:
                group = self._changed.pop()
                if not await self._settle(group, self._channel):
                    self._changed.add(group)
                    await asyncio.sleep(_RETRY_S)

    async def _settle(self, group: str, channel: str) -> bool:
        is_wanted, is_joined = group in self._members, group in self._joined
        if is_wanted and not is_joined:
            if not await self._try("group_add", self._layer.group_add(group, channel)):
                return False
            self._joined.add(group)
        elif is_joined and not is_wanted:
            if not await self._try("group_discard", self._layer.group_discard(group, channel)):
                return False
            self._joined.discard(group)
        return True

    async def publish(self) -> None:
        """Send what `broadcast` gathered, one layer message per group and batch."""
        while True:
            await self._outgoing_wake.wait()
            await asyncio.sleep(_BATCH_S)
            self._outgoing_wake.clear()
            batch, self._outgoing = self._outgoing, []
            by_group: dict[str, list[list[Any]]] = defaultdict(list)
            for group, frame, except_id in batch:
                by_group[group].append([except_id, *frame.pack()])
            for group, encoded in by_group.items():
                event = {"type": groups.EVENT, "group": group, "origin": self.id, "encoded": encoded}
                await self._try("group_send", self._layer.group_send(group, event))

    async def receive(self) -> None:
        """Fan the layer's events out. Never under a time limit: cancelling the layer's receive deletes the channel."""
        while True:
            try:
                self._channel = await self._layer.new_channel()
                self._changed |= set(self._members)
                self._membership_wake.set()
                while True:
                    self._on_any_event(await self._layer.receive(self._channel))
            except Exception as exc:
                log.warning("chat.layer_receive_failed", cause=type(exc).__name__)
                self._channel, self._joined = None, set()
                await asyncio.sleep(_RETRY_S)

    async def aclose(self) -> None:
        if self._channel is not None:
            for group in tuple(self._joined):
                await self._try("group_discard", self._layer.group_discard(group, self._channel))

    async def _try(self, call: str, awaitable: Awaitable[Any]) -> bool:
        try:
            async with asyncio.timeout(conf.chat().layer_timeout_s):
                await awaitable
        except Exception as exc:
            log.warning("chat.layer_failed", call=call, cause=type(exc).__name__)
            return False
        return True

    def _on_any_event(self, event: dict[str, Any]) -> None:
        """Whatever is wrong with one event, the next one is heard."""
        try:
            self._on_event(event)
        except Exception as exc:
            recorder.record(exc, RouteContext(Stage.ROUTE, message_type="group_event")).settle(None, deliveries=0)

    def _on_event(self, event: dict[str, Any]) -> None:
        if event.get("origin") == self.id and conf.chat().local_delivery:
            return  # delivered when it was broadcast
        if "encoded" in event:
            for except_id, *packed in event["encoded"]:
                self._deliver(event["group"], Encoded.unpack(packed), except_id)
            return
        if "signed_out" in event:
            for member in tuple(self._members.get(event["group"], ())):
                member.end_login(event["signed_out"])
            return
        try:
            session_id, frames = groups.read_event(event)
        except (msgspec.ValidationError, ChatError) as exc:
            context = RouteContext(Stage.ROUTE, message_type="group_event")
            refused = ChatError(INVALID_FORMAT, detail="an event of another sender in a session group")
            refused.__cause__ = exc
            recorder.record(refused, context).settle(None, deliveries=0)
            return
        for frame in frames:
            self._deliver(groups.of_session(session_id), Encoded.of(frame), None)
