"""`Connection`: what a handler may touch. It answers, pushes, registers; it knows no socket and no database."""

from __future__ import annotations

import uuid
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager

from chat import conf, groups, protocol
from chat.auth import Login
from chat.encoded import Encoded
from chat.outbox import Outbox
from chat.progress import Progress
from chat.runtime import Runtime
from errors import recorder
from errors.context import RouteContext
from errors.exceptions import ChatError
from errors.taxonomy import CLOSE_RESTARTING, CLOSE_TOKEN_EXPIRED, EXPIRED_TOKEN, Stage

_TURN_S = 2.0  # seconds in which a client asks for the next page of `resume`; then it is sent all the same


class Connection:
    """One accepted WebSocket of one user.

    Attributes:
        address: Where it comes from, for limits; None where that distinguishes nobody.
        route: The facts of the request that is being handled; requests of one connection come one after another.
    """

    def __init__(self, runtime: Runtime, *, login: Login, outbox: Outbox, address: str | None = None) -> None:
        self.id = uuid.uuid4().hex
        self.user_id = login.user_id
        self.login = login
        self.address = address
        self.runtime = runtime
        self.route = RouteContext(Stage.CONNECT, address=address)
        self.outbox = outbox
        self._sessions: OrderedDict[str, Progress] = OrderedDict()  # least recently used first
        outbox.on_room = self._catch_up
        runtime.hub.join(self, groups.of_user(self.user_id))

    @property
    def session_ids(self) -> tuple[str, ...]:
        """The sessions this connection is registered with."""
        return tuple(self._sessions)

    def touch(self, session_id: str) -> bool:
        """Note that the session is used; return whether this connection is registered with it."""
        if session_id not in self._sessions:
            return False
        self._sessions.move_to_end(session_id)
        return True

    def respond(self, frame: protocol.Frame) -> bool:
        """Answer the request that is being handled, under its `ref`.

        Never waits. An answer for which there is no room at all ends the connection, so none goes missing silently.
        """
        if isinstance(frame, protocol.Outbound):
            frame.ref = self.route.ref
        return self.outbox.put_answer(Encoded.of(frame))

    def push(self, frame: protocol.Frame) -> bool:
        """Send a frame to this connection. Never waits; False if the outbox is full."""
        return self.deliver(Encoded.of(frame))

    def deliver(self, frame: Encoded) -> bool:
        """What the hub calls: one frame of a group that this connection is in.

        Returns:
            False where the outbox is full. What is dropped or comes too early is sent later, from the database.
        """
        progress = self._sessions.get(frame.session_id) if frame.session_id is not None else None
        if progress is None:
            return self.outbox.put(frame)
        is_taken = progress.take(frame, self.outbox.put)
        self._look_at(str(frame.session_id), progress)
        return is_taken

    def broadcast(self, session_id: str, frame: protocol.Frame) -> None:
        """Send a frame to the session's other connections."""
        self.runtime.hub.broadcast(groups.of_session(session_id), frame, except_for=self)

    def reaches_others(self, session_id: str) -> bool:
        """Whether a broadcast to the session may be heard by anybody; if not, its frame need not be made."""
        return self.runtime.hub.reaches_others(groups.of_session(session_id), self)

    def register(self, session_id: str, position: int | None = None) -> None:
        """Bind to a session whose owner was checked; above the limit, the least recently used one leaves.

        Args:
            position: The session's highest `seq`; what comes after it is sent without a gap.
        """
        is_new = session_id not in self._sessions
        if is_new:
            self._sessions[session_id] = Progress(position)
        self._sessions.move_to_end(session_id)
        if is_new:
            self.runtime.hub.join(self, groups.of_session(session_id))
        while len(self._sessions) > conf.chat().max_registrations:
            self.unregister(next(iter(self._sessions)))

    def unregister(self, session_id: str) -> None:
        if session_id in self._sessions:
            del self._sessions[session_id]
            self.runtime.hub.leave(self, groups.of_session(session_id))

    # --- Missed frames ---

    def progress(self, session_id: str) -> Progress | None:
        """What was sent of a session; None without a registration."""
        return self._sessions.get(session_id)

    @contextmanager
    def resuming(self, session_id: str, last_seq: int) -> Iterator[Progress]:
        """Hold live frames of a session while what came before is read and sent."""
        progress = self._sessions[session_id]
        before = progress.position
        progress.resume(last_seq)
        try:
            yield progress
        except Exception:
            if not 0 <= progress.top - last_seq <= conf.chat().resume_limit:
                progress.abandon_resume(before)
            raise
        finally:
            progress.end_resume()
            progress.flush(self.outbox.put)
            if progress.needs_rows:
                progress.end_resume(_TURN_S)
            self._look_at(session_id, progress)

    def note_own(self, session_id: str, seq: int, *, is_new: bool) -> None:
        """The client's own message has this number, and was acknowledged: it needs no other frame to show it.

        Args:
            is_new: False for one that was stored before. It only tells where to begin, if nothing else has.
        """
        progress = self._sessions.get(session_id)
        if progress is not None and (is_new or progress.position is None):
            progress.note_own(seq)
            progress.flush(self.outbox.put)
            self._look_at(session_id, progress)

    def _look_at(self, session_id: str, progress: Progress) -> None:
        if progress.is_behind:
            self.runtime.repairs.look_at(self, session_id)

    def _catch_up(self) -> None:
        """There is room in the outbox again."""
        for session_id, progress in self._sessions.items():
            self._look_at(session_id, progress)

    # --- The end ---

    def end_login(self, login_key: str) -> None:
        """Close if this is the login session that the socket was opened with."""
        if login_key == self.login.key:
            self.close(CLOSE_TOKEN_EXPIRED)

    def end_access(self) -> None:
        """The account or the login no longer allows this connection: one error frame, then the close."""
        if self.outbox.is_closing:
            return
        context = RouteContext(
            Stage.CONNECT, "access", user_id=self.user_id, connection_id=self.id, address=self.address
        )
        failure = recorder.record(ChatError(EXPIRED_TOKEN, detail="the account or its login has changed"), context)
        frame = Encoded.of(protocol.ErrorFrame(error=failure.payload()))
        is_taken = self.outbox.put_answer(frame)
        failure.settle(frame.text, deliveries=int(is_taken), drops=int(not is_taken))
        self.close(CLOSE_TOKEN_EXPIRED)

    def come_back(self) -> None:
        """The login session is gone. Only the browser knows whether it has another key: let it come back."""
        self.outbox.put_answer(Encoded.of(self.runtime.goodbye("sign_in_changed")))
        self.close(CLOSE_RESTARTING)

    def close(self, code: int) -> None:
        """Close the socket after what is queued."""
        self.outbox.close(code)

    def detach(self) -> None:
        """Leave every group. The last thing that happens to a connection."""
        for session_id in self.session_ids:
            self.unregister(session_id)
        self.runtime.hub.leave(self, groups.of_user(self.user_id))
