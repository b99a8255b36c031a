"""One transaction of the journal: the sessions it holds, and the rows it inserts together. Synchronous.

The session's row is the lock: whoever holds it allocates the next `seq`, so numbers have no gaps, even with
several processes. A session, a person or a reply that another process holds is skipped, never waited for: the jobs that
need it come with the next batch. So no two batches can wait for each other, nor one for who deletes a conversation.

The statements of every batch are plain SQL, many rows each: building them anew through the ORM would cost more than all
the rest of a message's way. Rare ones go through the ORM. A `ref` is assumed to be new, and the unique constraint tells
when it is not: the batch then runs again, carefully, and looks up every one of them.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec
from django.db import connections
from django.db.models import Model, Q, QuerySet
from django.utils import timezone

from chat import conf, dialect
from chat.allowances import Allowances
from chat.dialect import SESSION
from chat.entries import Deferred
from chat.models import ChatMessage, ChatSession, Reply, ReplyPhase

_NEW_SESSION = (*SESSION, "origin_ref", "created_at", "last_activity_at")
_MESSAGE = ("id", "session_id", "seq", "sender", "content", "client_ref", "model_id", "metadata", "created_at")
_REPLY = (
    "id", "session_id", "message_id", "owner_key", "runner", "attempt", "model_id", "state", "text", "stop_requested",
    "lease_until", "created_at", "continues",
)  # fmt: skip


class HeldSession(msgspec.Struct, eq=False):
    """A session's row, locked for this transaction."""

    key: uuid.UUID
    owner_key: Any
    last_seq: int
    title: str
    model_id: str
    assistant_enabled: bool
    is_ended: bool
    is_touched: bool = False


class Known(msgspec.Struct, frozen=True):
    """A message that was stored before under the same ref, or in this batch."""

    key: uuid.UUID
    seq: int
    content: str
    created_at: datetime
    reply_id: str | None


class Batch:
    """Begun within a transaction on `alias`; `flush` before its end.

    Attributes:
        allowances: What each person may ask for now.
        is_careful: Every `ref` is looked up before its message is inserted.
    """

    def __init__(self, alias: str, runner: str, *, is_careful: bool = False) -> None:
        self.alias = alias
        self.runner = runner
        self.is_careful = is_careful
        self.now = timezone.now()
        self.sessions: dict[uuid.UUID, HeldSession] = {}
        self.opened: dict[tuple[Any, str], HeldSession] = {}  # by owner and the ref that opened them
        self.known: dict[tuple[uuid.UUID, str], Known] = {}
        self._busy_sessions: set[uuid.UUID] = set()  # held by another process
        self._busy_openings: set[tuple[Any, str]] = set()
        self._busy_replies: set[uuid.UUID] = set()
        self._rows: dict[type[Model], list[tuple[Any, ...]]] = {ChatSession: [], ChatMessage: [], Reply: []}
        self._sql = dialect.of(alias)
        self.allowances = Allowances(alias, self.now, self._sql)

    # --- Reading, once for all jobs ---

    def hold(self, keys: Collection[uuid.UUID], openings: Collection[tuple[Any, str]]) -> None:
        """Lock these sessions, and those that these (owner, origin ref) have opened."""
        if keys:
            with connections[self.alias].cursor() as cursor:
                for row in self._sql.sessions(cursor, keys):
                    self._hold(*row)
            if self._sql.skips_locked and len(self.sessions) < len(keys):
                missing = [key for key in keys if key not in self.sessions]
                found = ChatSession.objects.using(self.alias).filter(pk__in=missing).values_list("pk", flat=True)
                self._busy_sessions = set(found)
        if openings:
            self._hold_opened(openings)

    def _hold_opened(self, openings: Collection[tuple[Any, str]]) -> None:
        wanted = Q(*(Q(owner_id=owner_key, origin_ref=ref) for owner_key, ref in openings), _connector=Q.OR)
        opened = ChatSession.objects.using(self.alias).filter(wanted)
        for *row, ref in self.locked(opened.order_by("pk")).values_list(*SESSION, "origin_ref"):
            session = self._hold(*row)
            self.opened[session.owner_key, str(ref)] = session
        if self._sql.skips_locked:
            pairs: set[tuple[Any, Any]] = set(opened.values_list("owner_id", "origin_ref"))
            self._busy_openings = pairs - set(self.opened)

    def _hold(
        self, key: uuid.UUID, owner: Any, last_seq: int, title: str, model_id: str, assistant: Any, ended_at: Any
    ) -> HeldSession:
        if key not in self.sessions:
            self.sessions[key] = HeldSession(
                key, owner, last_seq, title, model_id, bool(assistant), ended_at is not None
            )
        return self.sessions[key]

    def locked(self, rows: QuerySet[Any], *, of: tuple[str, ...] = ()) -> QuerySet[Any]:
        """Lock these rows as they are read, and leave out those that another process holds."""
        return self._sql.locked(rows, of=of)

    def session(self, key: uuid.UUID) -> HeldSession | None:
        """Return the held session; None if there is none.

        Raises:
            Deferred: Another process holds it.
        """
        if key in self._busy_sessions:
            raise Deferred
        return self.sessions.get(key)

    def opened_by(self, owner_key: Any, ref: str) -> HeldSession | None:
        """Return the session that a message with this ref has opened, in the same words as `session`."""
        if (owner_key, ref) in self._busy_openings:
            raise Deferred
        return self.opened.get((owner_key, ref))

    def hold_replies(self, keys: Collection[uuid.UUID]) -> None:
        """Lock these replies, so that no change of one waits for who deletes it, or runs it elsewhere."""
        if not keys or not self._sql.skips_locked:
            return
        replies = Reply.objects.using(self.alias)
        held = set(self.locked(replies.filter(pk__in=keys)).values_list("pk", flat=True))
        if missing := set(keys) - held:  # those of this batch are not there yet, and nobody else's
            self._busy_replies = set(replies.filter(pk__in=missing).values_list("pk", flat=True))

    def check_reply(self, key: uuid.UUID) -> None:
        """See to it that the reply can be changed without a wait; whether it is there is another question.

        Raises:
            Deferred: Another process holds it.
        """
        if key in self._busy_replies:
            raise Deferred

    def look_up(self, refs: Iterable[tuple[uuid.UUID, str]]) -> None:
        """Find the messages that were stored under these (session, ref)."""
        pairs = [pair for pair in refs if pair not in self.known]
        if not pairs:
            return
        messages = ChatMessage.objects.using(self.alias).filter(
            session_id__in={key for key, _ in pairs}, client_ref__in={ref for _, ref in pairs}
        )
        wanted = set(pairs)
        rows = messages.values_list("session_id", "client_ref", "pk", "seq", "content", "created_at")
        found = [row for row in rows if (row[0], row[1]) in wanted]
        replies = self._latest_replies([row[2] for row in found])
        for session_key, ref, key, seq, content, created_at in found:
            self.known[session_key, str(ref)] = Known(key, seq, content, created_at, replies.get(key))

    def note(self, session: HeldSession, ref: str | None, stored: Known) -> None:
        """Remember a message of this batch, for another one under the same ref in it."""
        if ref is not None:
            self.known[session.key, ref] = stored

    def find(self, message_key: uuid.UUID) -> Known | None:
        """Look a message up by its own key."""
        rows = ChatMessage.objects.using(self.alias).filter(pk=message_key).values_list("seq", "content", "created_at")
        return next(
            (Known(message_key, *row, self._latest_replies([message_key]).get(message_key)) for row in rows), None
        )

    def _latest_replies(self, messages: Sequence[uuid.UUID]) -> dict[uuid.UUID, str]:
        if not messages:
            return {}
        replies = Reply.objects.using(self.alias).filter(message_id__in=messages).order_by("attempt")
        return {message: str(key) for message, key in replies.values_list("message_id", "pk")}

    # --- Adding ---

    def open_session(self, key: uuid.UUID, owner_key: Any, ref: str | None, model_id: str) -> HeldSession:
        session = HeldSession(key, owner_key, 0, "", model_id, assistant_enabled=True, is_ended=False)
        self.sessions[key] = session
        if ref is not None:
            self.opened[owner_key, ref] = session
        self._rows[ChatSession].append((key, owner_key, 0, "", model_id, True, None, ref, self.now, self.now))
        return session

    def add_message(
        self,
        session: HeldSession,
        key: uuid.UUID,
        *,
        sender: str,
        content: str,
        model_id: str,
        ref: str | None = None,
        metadata: dict[str, object] | None = None,
    ) -> int:
        """Add a message as the session's last, and return its `seq`."""
        session.last_seq += 1
        session.is_touched = True
        self._rows[ChatMessage].append(
            (key, session.key, session.last_seq, sender, content, ref, model_id, metadata or {}, self.now)
        )
        return session.last_seq

    def add_reply(
        self,
        session: HeldSession,
        key: uuid.UUID,
        *,
        message: uuid.UUID,
        user_id: str,
        model_id: str,
        attempt: int = 1,
        continues: uuid.UUID | None = None,
    ) -> None:
        self.allowances.note(user_id)
        self._rows[Reply].append(
            (
                key, session.key, message, user_id, self.runner, attempt, model_id, ReplyPhase.PENDING.value, "", False,
                timedelta(seconds=conf.chat().lease_s), self.now, continues,
            )
        )  # fmt: skip

    def flush(self) -> None:
        """Write what was added so far."""
        with connections[self.alias].cursor() as cursor:
            for model, columns in ((ChatSession, _NEW_SESSION), (ChatMessage, _MESSAGE), (Reply, _REPLY)):
                if rows := self._rows[model]:
                    self._sql.insert(cursor, model, columns, rows)
                    self._rows[model] = []
            touched = [session for session in self.sessions.values() if session.is_touched]
            if touched:
                self._sql.touch(cursor, touched, self.now)
                for session in touched:
                    session.is_touched = False
