"""The hub: the groups of the connections that live in this process, and the frames that go to them.

A connection joins a group here at once, and a broadcast reaches those here at once. What other processes have to
know goes through the channel layer, which `layer_link` keeps: a layer that is slow or down holds up no connection and
closes none. It delivers at most once and does not report losses; `seq`, heartbeats and `resume` repair what it lost.
"""

from __future__ import annotations

import asyncio
import itertools
import uuid
import weakref
from collections.abc import Callable, Collection, Coroutine
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec

from chat import conf, groups, protocol
from chat.encoded import Encoded
from chat.layer_batch import BEHIND
from chat.layer_link import LayerLink
from errors import recorder
from errors.context import RouteContext
from errors.exceptions import ChatError
from errors.loggers import get_logger
from errors.taxonomy import CLOSE_INTERNAL, INVALID_FORMAT, Stage

log = get_logger("chat.hub")

# Controls: what a process tells the others, besides frames.
SIGNED_OUT = "signed_out"  # a user's group; the login session that is over
ACCESS_CHANGED = "access_changed"  # a user's group: look whether their sockets may stay
STOP = "stop"  # all hubs; the reply that somebody wants to end

_ECHO_S = 2.0  # seconds for the layer to bring back what this process itself has sent

_of_loop: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Hub] = weakref.WeakKeyDictionary()


class Member(Protocol):
    """A connection, as the hub sees it."""

    id: str

    def deliver(self, frame: Encoded) -> bool: ...

    def end_login(self, login_key: str) -> None: ...

    def close(self, code: int) -> None: ...


@dataclass(frozen=True, slots=True)
class Delivery:
    """What became of a broadcast in this process."""

    deliveries: int = 0
    drops: int = 0


_UNKNOWN = Delivery()  # the layer will bring it back, or not


class Hub:
    """One per event loop; owned by `runtime`.

    Attributes:
        on_stop: Called with the id of a reply that a device of another process wants to end.
        on_access_changed: Called with the members whose right to be connected is to be looked at.
        on_behind: Called when anything that others said may be lost, frames and controls: the database has it.
        on_gap: Called with the members for whom frames may be lost: they are to be shown what the database has.
    """

    def __init__(self) -> None:
        self.id = uuid.uuid4().hex
        self.on_stop: Callable[[str], object] = _ignore
        self.on_access_changed: Callable[[tuple[Any, ...]], object] = _ignore
        self.on_behind: Callable[[], object] = _ignore
        self.on_gap: Callable[[tuple[Any, ...]], object] = _ignore
        self._members: dict[str, dict[Member, None]] = {}
        self._tokens = itertools.count()
        self._echoes: dict[int, asyncio.Future[Delivery]] = {}  # of frames of ours that are to come back
        self._link = LayerLink(
            self.id,
            wanted=self._members.keys(),
            on_event=self._on_any_event,
            on_return=self._on_return,
            on_gap=self._on_gap,
        )
        _of_loop[asyncio.get_running_loop()] = self

    def work(self) -> tuple[Coroutine[Any, Any, None], ...]:
        """The tasks that talk to the layer."""
        return self._link.work()

    # --- What connections and replies call: plain functions that never wait ---

    def join(self, member: Member, group: str) -> None:
        members = self._members.setdefault(group, {})
        members[member] = None
        self._link.membership.look_at(group)

    def leave(self, member: Member, group: str) -> None:
        members = self._members.get(group)
        if members is None:
            return
        members.pop(member, None)
        if not members:
            del self._members[group]
            self._link.membership.look_at(group)

    def reaches_others(self, group: str, member: Member) -> bool:
        """Whether anybody but `member` may hear a broadcast; if not, its frame need not be made."""
        if self._link.must_publish:
            return True
        members = self._members.get(group, ())
        return len(members) > 1 or (bool(members) and member not in members)

    def broadcast(self, group: str, frame: protocol.Frame, *, except_for: Member | None = None) -> Delivery:
        """Hand a frame to every member of the group, here and, through the layer, on other processes.

        Returns:
            What this process could deliver; of other processes nothing is known.
        """
        return self.send(group, Encoded.of(frame), except_for.id if except_for else None)

    def send(self, group: str, frame: Encoded, except_id: str | None = None, *, token: int | None = None) -> Delivery:
        """`broadcast` of a frame that is encoded already."""
        is_away = False
        if self._link.must_publish:
            is_away = not self._link.put_frame(group, frame, except_id, token)
        if conf.chat().local_delivery or is_away:
            return self._deliver(group, frame, except_id)
        return _UNKNOWN

    async def tell(self, group: str, frame: protocol.Frame) -> Delivery:
        """`broadcast`, and return what became of it here once that is known.

        That is at once; without local delivery when the layer has brought it back. If it does not, nobody was told.
        """
        token, echo = next(self._tokens), asyncio.get_running_loop().create_future()
        self._echoes[token] = echo
        try:
            delivery = self.send(group, Encoded.of(frame), token=token)
            if delivery is not _UNKNOWN:
                return delivery
            async with asyncio.timeout(_ECHO_S):
                return await echo
        except TimeoutError:
            return Delivery()
        finally:
            del self._echoes[token]

    def control(self, group: str, name: str, value: str = "") -> None:
        """Tell every process, this one at once."""
        self._on_control(group, name, value)
        if self._link.is_shared:
            self._link.put_control(group, name, value)

    async def aclose(self, timeout_s: float = 0.5) -> None:
        _of_loop.pop(asyncio.get_running_loop(), None)
        await self._link.aclose(timeout_s)

    # --- Fanning out ---

    def _deliver(self, group: str, frame: Encoded, except_id: str | None) -> Delivery:
        deliveries = drops = 0
        members = iter(tuple(self._members.get(group, ())))
        while True:
            try:
                for member in members:
                    if member.id == except_id:
                        continue
                    if member.deliver(frame):
                        deliveries += 1
                    else:
                        drops += 1
                break
            except Exception as exc:  # around the whole loop, which goes on after the one that raised
                drops += 1
                self._part_with(member, group, exc)
        frame.forget_wire()
        return Delivery(deliveries, drops)

    def _part_with(self, member: Member, group: str, exc: Exception) -> None:
        """A member that raises has missed a frame and may miss more: it is closed, comes back and resumes.

        It leaves the group at once, so that it is recorded once.
        """
        context = RouteContext(Stage.ROUTE, message_type="delivery", connection_id=member.id)
        recorder.record(exc, context).settle(None, deliveries=0)
        self.leave(member, group)
        member.close(CLOSE_INTERNAL)

    def _on_control(self, group: str, name: str, value: str) -> None:
        members = tuple(self._members.get(group, ()))
        if name == STOP:
            self.on_stop(value)
        elif name == SIGNED_OUT:
            for member in members:
                member.end_login(value)
        elif name == ACCESS_CHANGED and members:
            self.on_access_changed(members)
        elif name == BEHIND and group == groups.HUBS:
            self.on_behind()
        elif name == BEHIND and members:
            self.on_gap(members)

    def _on_return(self) -> None:
        """The line was broken: others may have said something meanwhile, and may be saying it in this very moment."""
        self.on_behind()
        asyncio.get_running_loop().call_later(1.0, self.on_behind)

    def _on_gap(self, names: Collection[str]) -> None:
        members = {member: None for name in names for member in self._members.get(name, ())}
        if members:
            self.on_gap(tuple(members))

    # --- What the layer brings ---

    def _on_any_event(self, event: dict[str, Any]) -> None:
        """Whatever is wrong with one event, the next one is heard."""
        try:
            self._on_event(event)
        except Exception as exc:
            recorder.record(exc, RouteContext(Stage.ROUTE, message_type="group_event")).settle(None, deliveries=0)

    def _on_event(self, event: dict[str, Any]) -> None:
        if "frames_of" in event:
            for group, frames in event["frames_of"].items():
                if group in self._members:
                    for packed, except_id, token in frames:
                        delivery = self._deliver(group, Encoded.unpack(packed), except_id)
                        echo = self._echoes.get(token) if event.get("origin") == self.id else None
                        if echo is not None and not echo.done():  # it is when its time is just over
                            echo.set_result(delivery)
            return
        if "controls" in event:
            if event.get("origin") != self.id:
                for group, name, value in event["controls"]:
                    self._on_control(group, name, value)
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
            self._deliver(groups.of_session(session_id), frame, None)


def _ignore(_: Any = None) -> None:
    """Until the runtime says who listens."""


def running_hubs() -> tuple[tuple[asyncio.AbstractEventLoop, Hub], ...]:
    """The hubs of this process, each with the event loop that it belongs to."""
    return tuple(_of_loop.items())
