"""A person's device in a soak: the reference client, with outbox, resume, repair of gaps, and close codes."""

from __future__ import annotations

import asyncio
import http.client
import random
import time

from tests.faults import history
from tests.faults.conversation import Conversation, Frame, Line
from tests.faults.deployment import Deployment
from tests.faults.ledger import Ledger, Said
from tests.faults.link import Link, open_link, settle
from tests.faults.person import Person, Waiting

TICK_S = 0.05
ANSWER_S = 8.0  # seconds; a lookup and a commit may each take database_timeout_s (2.5), the rest is this machine's load
HEALING_GRACE_S = 0.3  # seconds in which a frame on its way may still close a gap
RESUME_EVERY_S = 1.0  # seconds between two `resume` of one session
PAUSE_MAX_S = 3.0  # seconds between two tries to connect, at most
STAYS_AWAY = range(4500, 5000)  # close codes after which a client does not come back
RETRY_S = 1.0  # seconds until a person sends again what may be sent again, where the server names no time
PAGE = 50


class Device:
    """`await device.run()` until `leave`. What it does besides keeping up is the business of `tests.faults.habits`."""

    def __init__(self, person: Person, number: int, deployment: Deployment, ledger: Ledger, rng: random.Random) -> None:
        self.person = person
        self.name = f"{person.name}-{number}"
        self.deployment = deployment
        self.ledger = ledger
        self.rng = rng
        self.conversations: dict[str, Conversation] = {}
        self.outbox: dict[str, Waiting] = {}
        self.link: Link | None = None
        self.links: list[Link] = []
        self.sent_away: int | None = None  # the close code that told it to stay away
        self._resumed: dict[str, float] = {}  # session_id -> when `resume` was last sent on this link
        self._unread: set[str] = set()  # sessions whose older messages are to be read over HTTP
        self._missing_since: dict[str, float] = {}
        self._failures = 0
        self._not_before = 0.0
        self._is_over = False
        self._refs = 0
        person.devices.append(self)

    # --- What habits and the schedule call ---

    def new_ref(self, kind: str) -> str:
        self._refs += 1
        return f"{self.name}.{kind}{self._refs}{self.person.tag}"

    def say(self, session_id: str | None, content: str, model_id: str | None = None) -> Said:
        """Put a message into the outbox; it is sent until it is acknowledged or refused."""
        frame: Frame = {"type": "user_message", "ref": self.new_ref("m"), "content": content}
        if session_id is not None:
            frame["session_id"] = session_id
        if model_id is not None:
            frame["model_id"] = model_id
        said = Said(frame["ref"], self.person.name, frame)
        self.ledger.said[said.ref] = said
        self.adopt(said)
        return said

    def adopt(self, said: Said) -> None:
        """Send a message that another device said, under its ref."""
        self.outbox.setdefault(said.ref, Waiting(said))

    async def ask(self, **frame: object) -> None:
        """Send a request at once, if connected; what becomes of it is only counted."""
        link = self.link
        if link is not None and link.id and not link.is_leaving and not link.is_over:
            await link.send(dict(frame), is_asking="ref" in frame)

    def reload(self) -> None:
        """Lose everything but the outbox, as a page that is loaded again."""
        self.conversations.clear()
        for known in (self._unread, self._missing_since, self._resumed):
            known.clear()
        if self.link is not None:
            self.link.abort("the page is loaded again")

    @property
    def is_connected(self) -> bool:
        return self.link is not None and bool(self.link.id) and not self.link.is_over

    async def leave(self) -> None:
        self._is_over = True
        if self.link is not None and not self.link.is_over:
            await self.link.close()

    # --- The life of a device ---

    async def run(self) -> None:
        while not self._is_over and self.sent_away is None:
            await self._live_once()
            pause = self.rng.uniform(0.5, 1.0) * min(PAUSE_MAX_S, 0.1 * 2 ** min(self._failures, 8))
            await asyncio.sleep(0 if self._is_over else max(pause, self._not_before - time.time()))

    async def _live_once(self) -> None:
        link = await self._connect()
        if link is None:
            return
        reader = asyncio.create_task(self._read(link))
        try:
            while not reader.done():
                await self._keep_up(link)
                await asyncio.wait([reader], timeout=TICK_S)
        finally:
            if not reader.done():
                link.abort("the device is over")
                await settle(reader)
            link.note_closed()
            self.link = None
            for waiting in self.outbox.values():
                if waiting.link is link:
                    waiting.said.may_be_stored = True
                    waiting.link, waiting.due_at = None, 0.0
        if link.close_code in STAYS_AWAY:
            self.sent_away = link.close_code
            self.ledger.strike("unanswered", f"{self.name} was sent away with {link.close_code}")

    async def _connect(self) -> Link | None:
        server = self.rng.randrange(len(self.deployment.servers))
        link = await open_link(self.name, self.deployment, server, self.person.cookies, self.ledger)
        if link is None:
            self._failures += 1
            return None
        self.links.append(link)
        self.link = link
        self._resumed.clear()
        return link

    async def _read(self, link: Link) -> None:
        while (frame := await link.read()) is not None:
            self._on_frame(link, frame)

    async def _keep_up(self, link: Link) -> None:
        """What a client owes at every moment: resume, outbox, deadlines."""
        now = time.time()
        frozen_s = self.deployment.frozen_s(link.server, since=link.waiting_since())
        if (asked := link.overdue(ANSWER_S, frozen_s)) is not None:
            self.ledger.strike("unanswered", f"{asked.ref} ({asked.kind}) had no answer in time on {link.id}")
            link.abort("a request had no answer in time")
            return
        if now - link.heard_at > self.deployment.silence_s:
            link.abort("nothing was heard for too long")
            return
        if not link.id or link.is_leaving or link.is_over:
            return
        for session_id in tuple(self.person.sessions):
            if self._must_resume(session_id, now):
                await self._resume(link, session_id, now)
        for waiting in tuple(self.outbox.values()):
            if waiting.link is None and waiting.due_at <= now:
                await self._send(link, waiting)
        for session_id in tuple(self._unread):
            await self._load(session_id)

    def _must_resume(self, session_id: str, now: float) -> bool:
        if session_id not in self._resumed:
            return True
        if not self.conversations[session_id].is_missing:
            self._missing_since.pop(session_id, None)
            return False
        since = self._missing_since.setdefault(session_id, now)
        return now - since > HEALING_GRACE_S and now - self._resumed[session_id] > RESUME_EVERY_S

    async def _resume(self, link: Link, session_id: str, now: float) -> None:
        conversation = self.conversations.setdefault(session_id, Conversation(session_id))
        self._resumed[session_id] = now
        ref, last_seq = self.new_ref("r"), conversation.resume_from
        await link.send({"type": "resume", "ref": ref, "session_id": session_id, "last_seq": last_seq})

    async def _load(self, session_id: str) -> None:
        """Too much was missed for `resume`: read the older messages over HTTP."""
        try:
            frames = await asyncio.to_thread(history.replays, self.person.site, session_id)
        except history.Refused as exc:
            if "reference" in exc.body:
                self.ledger.see_reference(exc.body, self.name)
            return  # at the next look
        except (OSError, AssertionError, http.client.HTTPException):
            self.ledger.unread_answers.append(time.time())
            return
        self._unread.discard(session_id)
        self.ledger.add("history", client=self.name, session=session_id, messages=len(frames))
        conversation = self.conversations.get(session_id)
        for frame in frames if conversation else ():  # none: the page was loaded again meanwhile
            conversation.apply(frame)

    async def _send(self, link: Link, waiting: Waiting) -> None:
        waiting.link = link
        await link.send(waiting.said.frame)

    # --- Frames ---

    def _on_frame(self, link: Link, frame: Frame) -> None:
        match frame["type"]:
            case "connection_status":
                self._failures = 0
            case "error" if not link.id:
                self._failures += 1  # told why, and about to be closed
                self._not_before = time.time() + frame["error"].get("retry_after", 0) / 1000
            case "goodbye":
                self._not_before = time.time() + frame["reconnect_in"] / 1000
            case "heartbeat":
                for session_id, top in frame["top"].items():
                    if session_id in self.conversations:
                        self.conversations[session_id].note_top(top)
            case "ack":
                self._on_ack(link, frame)
            case "error" if frame.get("ref") in self.outbox and "reply_id" not in frame:
                self._on_refusal(frame)
            case "notification" if (event := frame["metadata"].get("event")) == "session_updated":
                self.ledger.add("notified", client=self.name, what=event)
                self.person.sessions.setdefault(frame["session_id"], True)
            case "resumed" if frame["from"] < frame["to"] < frame["top"]:
                self._resumed[frame["session_id"]] = 0.0  # the next page at once
        conversation = self.conversations.get(frame.get("session_id") or "")
        if conversation is not None:
            before = len(conversation.conflicts)
            conversation.apply(frame)
            for conflict in conversation.conflicts[before:]:
                self.ledger.strike("duplicated", f"{self.name} in {conversation.session_id}: {conflict}")
        if frame["type"] == "resumed" and not frame["recovered"]:
            self._unread.add(frame["session_id"])

    def _on_ack(self, link: Link, frame: Frame) -> None:
        session_id, ref = frame["session_id"], frame["ref"]
        conversation = self.conversations.get(session_id)
        if ref in self.ledger.said:
            said = self.ledger.said[ref]
            self.ledger.ack(frame, self.name)
            if len(said.acks) > 1:
                self.ledger.strike("duplicated", f"{ref} was acknowledged as {sorted(said.acks)}")
            if not frame["duplicate"]:
                link.first_acked[ref] = frame["seq"]
            self.person.sessions.setdefault(session_id, "reply_id" in frame)
            conversation = self.conversations.setdefault(session_id, Conversation(session_id))
            conversation.keep(Line(frame["seq"], frame["message_id"], "user", said.frame["content"], ref))
            self.outbox.pop(ref, None)
        if conversation is not None and "reply_id" in frame and "message_id" in frame:
            conversation.open_answer(frame["reply_id"], frame["message_id"])

    def _on_refusal(self, frame: Frame) -> None:
        """Our message was refused: send it again under its ref where the server would take it, else give it up."""
        error, waiting = frame["error"], self.outbox[frame["ref"]]
        waiting.link = None
        if error["outcome"] == "unknown":
            waiting.said.may_be_stored = True
        if "retry" in error["actions"]:
            waiting.due_at = time.time() + max(
                error.get("retry_after", 0) / 1000, 0.05 if "retry_after" in error else RETRY_S
            )
            return
        waiting.said.is_refused = True
        self.ledger.add("refused", client=self.name, ref=frame["ref"], code=error["code"])
        del self.outbox[frame["ref"]]
