"""What can be asked of the journal: each job knows the session it needs, and what it does within a batch. Synchronous.

Every job can be run again after a COMMIT that may or may not have happened: the keys of its rows are made together with
the job, so it finds its own.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Hashable, Iterable, Sequence
from typing import Any

import msgspec

from chat import titles
from chat.batch import Batch, HeldSession, Known
from chat.entries import Deferred, Draft, Retried, Stored
from chat.models import BROKEN_OFF, RUNNING, ChatMessage, Reply, ReplyPhase, Sender
from chat.sessions import as_uuid
from errors.exceptions import ChatError
from errors.keys import new_key
from errors.taxonomy import DATABASE_ERROR, DUPLICATE_MISMATCH, NOT_FOUND, SESSION_ENDED, Outcome


class Job(msgspec.Struct, eq=False, kw_only=True):
    """One thing to make durable.

    Attributes:
        session_key: The session that it changes; the batch locks it.
        future: Gets the result, or the error.
        deadline: Monotonic seconds until which it is tried; None: until it succeeds.
        is_taken: The writer has it in a transaction, so nobody can say that it did not happen.
        is_withdrawn: Nobody wants it any more; the writer passes over it.
        is_unwanted: It is to be answered as failed, and not tried again, once it is known not to have happened.
        is_in_doubt: A COMMIT broke off with it: its rows may be there.
        needs_look_up: The unique constraint has said that some `ref` of its batch is not new.
        is_given_up: Its caller has been told `unknown`: it is looked for, and not done any more.
    """

    future: asyncio.Future[Any]
    deadline: float | None
    session_key: uuid.UUID | None = None
    is_taken: bool = False
    is_withdrawn: bool = False
    is_unwanted: bool = False
    is_in_doubt: bool = False
    is_given_up: bool = False
    needs_look_up: bool = False
    refusals: int = 0  # times that the database refused it as it is
    result: Any = None
    error: Exception | None = None

    def run(self, batch: Batch) -> Any:
        raise NotImplementedError

    @property
    def message(self) -> Hashable | None:
        """What two jobs have in common that store the same message; None where there is no telling."""
        return None

    def _check_wanted(self) -> None:
        """What was looked for and not found is not stored behind the back of somebody who sends it again."""
        if self.is_given_up and self.is_in_doubt:
            raise ChatError(DATABASE_ERROR, outcome=Outcome.REJECTED, detail="not stored, as it turned out")


class ReplyJob(Job, eq=False, kw_only=True):
    """Change a reply that is there; the batch locks it."""

    reply_id: str

    @property
    def key(self) -> uuid.UUID:
        return as_uuid(self.reply_id)


class Append(Job, eq=False, kw_only=True):
    """Store a user message, and its pending reply with it."""

    draft: Draft
    owner_key: Any
    message_key: uuid.UUID = msgspec.field(default_factory=new_key)
    # Made with the first run that needs them.
    reply_key: uuid.UUID | None = None
    new_session_key: uuid.UUID | None = None

    @property
    def message(self) -> Hashable | None:
        return None if self.draft.ref is None else (self.owner_key, self.session_key, self.draft.ref)

    def run(self, batch: Batch) -> Stored:
        draft, owner_key = self.draft, self.owner_key
        session = self._session(batch)
        if session is not None and (known := self._known(batch, session)) is not None:
            return known
        self._check_wanted()
        has_reply = session is None or session.assistant_enabled
        try:
            if session is not None and session.is_ended:
                raise ChatError(SESSION_ENDED)
            if has_reply:
                batch.allowances.check(draft.user_id, owner_key)
        except ChatError:
            # What was stored before is not refused now.
            if session is not None and (known := self._known(batch, session, is_careful=True)) is not None:
                return known
            raise
        if session is None:
            self.new_session_key = self.new_session_key or new_key()
            session = batch.open_session(self.new_session_key, owner_key, draft.ref, draft.model_id)
        new_title = None
        if not session.title:
            session.title = new_title = titles.title_of(draft.content)
        model_id = draft.model_id or session.model_id
        seq = batch.add_message(
            session,
            self.message_key,
            sender=Sender.USER.value,
            content=draft.content,
            model_id=model_id,
            ref=draft.ref,
            metadata=draft.metadata,
        )
        reply_id = None
        if has_reply:
            self.reply_key = self.reply_key or new_key()
            reply_id = str(self.reply_key)
            batch.add_reply(session, self.reply_key, message=self.message_key, user_id=draft.user_id, model_id=model_id)
        batch.note(session, draft.ref, Known(self.message_key, seq, draft.content, batch.now, reply_id))
        return Stored(
            message_id=str(self.message_key),
            session_id=str(session.key),
            seq=seq,
            reply_id=reply_id,
            duplicate=False,
            created_at=batch.now,
            new_title=new_title,
        )

    def _session(self, batch: Batch) -> HeldSession | None:
        """Return the draft's session; None where it is still to be opened."""
        if self.session_key is None:
            opened = batch.opened_by(self.owner_key, self.draft.ref) if self.draft.ref is not None else None
            if opened is None and self.is_in_doubt and self.new_session_key is not None:
                opened = batch.session(self.new_session_key)
            return opened
        session = batch.session(self.session_key)
        if session is None or session.owner_key != self.owner_key:
            raise ChatError(NOT_FOUND, field="session_id")
        return session

    def _known(self, batch: Batch, session: HeldSession, *, is_careful: bool = False) -> Stored | None:
        """Return what this message became when it was stored before; under its ref, or by ourselves."""
        known = None
        if self.draft.ref is not None:
            if is_careful:
                batch.look_up([(session.key, self.draft.ref)])
            known = batch.known.get((session.key, self.draft.ref))
        if known is None and self.is_in_doubt:
            known = batch.find(self.message_key)
        if known is None:
            return None
        if known.content != self.draft.content:
            raise ChatError(DUPLICATE_MISMATCH, field="ref", outcome=Outcome.REJECTED)
        return Stored(
            message_id=str(known.key),
            session_id=str(session.key),
            seq=known.seq,
            reply_id=known.reply_id,
            duplicate=known.key != self.message_key,
            created_at=known.created_at,
            new_title=session.title if known.key == self.message_key and known.seq == 1 else None,
        )


class Retry(Job, eq=False, kw_only=True):
    """Answer a message again, unless its answer is running or complete.

    Attributes:
        is_continued: It is to go on from what the last answer that broke off has left, if one did.
    """

    message_id: str
    user_id: str
    owner_key: Any
    model_id: str
    is_continued: bool = False
    reply_key: uuid.UUID = msgspec.field(default_factory=new_key)

    def run(self, batch: Batch) -> Retried:
        session = batch.session(self.session_key) if self.session_key is not None else None
        if session is None or session.owner_key != self.owner_key:
            raise ChatError(NOT_FOUND, field="message_id")
        batch.flush()  # the question, or another retry of it, may be in this batch
        messages = ChatMessage.objects.using(batch.alias).filter(session_id=session.key, sender=Sender.USER)
        asked = messages.filter(pk=as_uuid(self.message_id))
        message = batch.locked(asked).values("pk", "seq", "model_id").first()
        if message is None and asked.exists():
            raise Deferred  # it is about to be deleted, and a reply to it would wait for that
        if message is None:
            raise ChatError(NOT_FOUND, field="message_id")
        replies = Reply.objects.using(batch.alias).filter(message_id=message["pk"]).order_by("-attempt")
        last = replies.values("pk", "state", "attempt", "continues").first()
        if last is not None and last["state"] in (*RUNNING, ReplyPhase.COMPLETE):
            return self._retried(session, message["seq"], last["pk"], last["continues"])
        self._check_wanted()
        if session.is_ended:
            raise ChatError(SESSION_ENDED)
        batch.allowances.check(self.user_id, self.owner_key)
        continues = None
        if self.is_continued:
            left = replies.filter(state__in=BROKEN_OFF, answer__isnull=False)
            continues = left.values_list("pk", flat=True).first()
        batch.add_reply(
            session,
            self.reply_key,
            message=message["pk"],
            user_id=self.user_id,
            model_id=self.model_id or session.model_id or message["model_id"],
            attempt=last["attempt"] + 1 if last else 1,
            continues=continues,
        )
        return self._retried(session, message["seq"], self.reply_key, continues)

    def _retried(self, session: HeldSession, seq: int, reply_key: uuid.UUID, continues: uuid.UUID | None) -> Retried:
        return Retried(
            str(reply_key),
            str(session.key),
            self.message_id,
            seq,
            is_new=reply_key == self.reply_key,
            continues=str(continues) if continues else None,
        )


def run_all(jobs: Sequence[Job], batch: Batch) -> list[Job]:
    """Run the jobs within the batch's transaction, each with its result or its error; return the deferred ones."""
    _prepare(jobs, batch)
    deferred: list[Job] = []
    for job in jobs:
        job.result = job.error = None
        try:
            job.result = job.run(batch)
        except Deferred:
            deferred.append(job)
        except ChatError as exc:
            job.error = exc
    batch.flush()
    return deferred


def _prepare(jobs: Iterable[Job], batch: Batch) -> None:
    """Read and lock for all jobs at once what each of them will ask for."""
    appends = [job for job in jobs if isinstance(job, Append)]
    keys = {job.session_key for job in jobs if job.session_key is not None}
    keys |= {job.new_session_key for job in appends if job.is_in_doubt and job.new_session_key is not None}
    openings = {
        (job.owner_key, job.draft.ref) for job in appends if job.session_key is None and job.draft.ref is not None
    }
    batch.hold(keys, openings)
    pairs = []
    askers = set()
    for job in appends:
        key, ref = job.session_key, job.draft.ref
        session = batch.sessions.get(key) if key is not None else batch.opened.get((job.owner_key, ref or ""))
        if session is not None and ref is not None and (batch.is_careful or key is None):
            pairs.append((session.key, ref))
        if session is None or session.assistant_enabled:
            askers.add(job.owner_key)
    batch.look_up(pairs)
    batch.allowances.hold(askers)
    batch.hold_replies({job.key for job in jobs if isinstance(job, ReplyJob)})
