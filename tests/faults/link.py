"""One connection of a device: what was asked on it and what must still be answered, under the rules of the protocol."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections import defaultdict
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import websockets
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed
from websockets.typing import Origin

from tests.faults.conversation import Frame
from tests.faults.deployment import Deployment
from tests.faults.ledger import Ledger, shorten

OPEN_TIMEOUT_S = 12.0
ENDS_A_REQUEST = ("ack", "error", "resumed", "pong")


@dataclass(slots=True)
class Asked:
    ref: str
    kind: str
    at: float


class Link:
    """Sends frames, matches answers to requests, and counts how often each reply ended here.

    Requests of one connection are handled one after another, so the clock of the oldest one starts when it was sent or
    when the one before it was answered, whichever is later.
    """

    def __init__(self, owner: str, server: int, connection: ClientConnection, ledger: Ledger) -> None:
        self.owner = owner
        self.server = server
        self.connection = connection
        self.ledger = ledger
        self.id = ""  # the server's name for it, from `connection_status`
        self.opened_at = self.heard_at = self.answered_at = time.time()
        self.closed_at: float | None = None
        self.close_code: int | None = None
        self.is_ours = False  # we closed it, or gave it up
        self.is_leaving = False  # told goodbye
        self.open: list[Asked] = []
        self.told: set[str] = set()
        self.ends: defaultdict[str, int] = defaultdict(int)
        self.sent: list[tuple[str, str]] = []  # (session_id, ref) in the order of sending
        self.first_acked: dict[str, int] = {}  # ref -> seq, of those that were stored here and now

    @property
    def is_over(self) -> bool:
        return self.closed_at is not None

    async def send(self, frame: Frame, *, is_asking: bool = True) -> bool:
        """Send one frame; False when the connection is gone. Its end is then unknown."""
        self.ledger.add("invoke", client=self.owner, link=self.id, frame=shorten(frame))
        if frame["type"] == "user_message" and "session_id" in frame:
            self.sent.append((frame["session_id"], frame["ref"]))
        if is_asking:
            self.open.append(Asked(frame["ref"], frame["type"], time.time()))
        try:
            await self.connection.send(json.dumps(frame))
        except (ConnectionClosed, OSError):
            return False
        return True

    async def read(self) -> Frame | None:
        """The next frame; None when the connection is over."""
        try:
            frame: Frame = json.loads(await self.connection.recv())
        except (ConnectionClosed, OSError):
            return None
        self.heard_at = time.time()
        if frame["type"] == "connection_status":
            self.id = frame["connection_id"]
        elif frame["type"] == "goodbye":
            self.is_leaving = True
        self.ledger.add("recv", client=self.owner, link=self.id, frame=shorten(frame))
        self._account(frame)
        return frame

    def overdue(self, limit_s: float, frozen_s: float) -> Asked | None:
        """The oldest request, if it had its time; `frozen_s` seconds since then its server stood still."""
        if not self.open or self.is_leaving:
            return None
        oldest = self.open[0]
        since = max(oldest.at, self.answered_at)
        return oldest if time.time() - since > limit_s + frozen_s else None

    def waiting_since(self) -> float:
        return max(self.open[0].at, self.answered_at) if self.open else time.time()

    def abort(self, why: str) -> None:
        """Give it up without a close handshake, as a broken network does."""
        self.is_ours = True
        self.ledger.add("abort", client=self.owner, link=self.id, why=why)
        self.connection.transport.abort()

    async def close(self) -> None:
        """Close as a page that goes away does."""
        self.is_ours = True
        await self.connection.close()

    def note_closed(self) -> None:
        self.closed_at = time.time()
        self.close_code = self.connection.close_code
        self.ledger.add(
            "close", client=self.owner, link=self.id, server=self.server, code=self.close_code, ours=self.is_ours
        )

    def _account(self, frame: Frame) -> None:
        error: dict[str, Any] | None = frame.get("error")
        if error:
            self.told.add(error["reference"])
            self.ledger.see_reference(error, self.owner)
        if (inner := (frame.get("reply") or {}).get("error")) is not None:
            self.ledger.see_reference(inner, self.owner)
        is_end = frame["type"] == "error" or (frame.get("metadata") or {}).get("done") == "true"
        if is_end and "reply_id" in frame and "reply" not in frame:  # replays carry `reply`
            self.ends[frame["reply_id"]] += 1
            if self.ends[frame["reply_id"]] > 1:
                self.ledger.strike("unanswered", f"reply {frame['reply_id']} ended twice on {self.owner} {self.id}")
        elif frame["type"] in ENDS_A_REQUEST and "ref" in frame:
            self._answer(frame["ref"])

    def _answer(self, ref: str) -> None:
        for index, asked in enumerate(self.open):
            if asked.ref == ref:
                del self.open[index]
                self.answered_at = time.time()
                return
        self.ledger.strike("unanswered", f"{ref} was answered more often than asked on {self.owner} {self.id}")


async def open_link(
    owner: str,
    deployment: Deployment,
    server: int,
    cookies: str,
    ledger: Ledger,
    *,
    receive_bytes: int = 0,
    max_queue: int = 16,
) -> Link | None:
    """Connect to one of the servers; None when that cannot be had now.

    Args:
        receive_bytes: Of the socket's buffer, for a client that does not read; 0: as usual.
        max_queue: Frames that wait unread before TCP holds the server up.
    """
    url = urlsplit(deployment.servers[server].ws_url)
    raw = socket.socket()
    if receive_bytes:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
    raw.setblocking(False)
    try:
        async with asyncio.timeout(OPEN_TIMEOUT_S):
            await asyncio.get_running_loop().sock_connect(raw, (url.hostname, url.port))
        connection = await websockets.connect(
            url.geturl(),
            sock=raw,
            origin=Origin(deployment.origin),
            additional_headers={"Cookie": cookies},
            open_timeout=OPEN_TIMEOUT_S,
            close_timeout=2,
            ping_interval=None,
            max_size=None,
            max_queue=max_queue,
            proxy=None,
        )
    except (OSError, TimeoutError, websockets.exceptions.InvalidHandshake, EOFError) as exc:
        raw.close()
        ledger.unread_connects.append(time.time())
        ledger.add("connect_failed", client=owner, server=server, cause=type(exc).__name__)
        return None
    return Link(owner, server, connection, ledger)


async def settle(task: asyncio.Task[Any]) -> None:
    """Await a task that was cancelled or is about to end."""
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
