"""What the journal does for replies: their checkpoints and ends, the request to stop one, and those nobody runs."""

from __future__ import annotations

import asyncio
import uuid
from datetime import timedelta
from typing import Any

import msgspec
from django.db.models import F
from django.db.models.functions import Coalesce, Now

from chat import conf, telemetry
from chat.batch import Batch
from chat.entries import Ended, Figures, Orphan
from chat.jobs import Job, ReplyJob
from chat.models import RUNNING, Reply, ReplyPhase, Sender
from errors.keys import new_key

MAX_CLAIMED = 20  # replies taken over in one go: each is a write more while others wait for theirs


class EndReply(ReplyJob, eq=False, kw_only=True):
    """End a reply and store its text as a message. Only the process that runs it can."""

    state: str
    text: str
    public_error: dict[str, object] | None
    figures: Figures
    message_key: uuid.UUID = msgspec.field(default_factory=new_key)

    def run(self, batch: Batch) -> Ended | None:
        session = batch.session(self.session_key) if self.session_key is not None else None
        if session is None:
            return None  # deleted, and the reply with it
        batch.check_reply(self.key)
        batch.flush()  # the reply may be in this batch
        replies = Reply.objects.using(batch.alias).filter(pk=self.key, runner=batch.runner)
        usage = self.figures.usage
        is_ours = replies.filter(state__in=RUNNING).update(
            state=self.state,
            error=self.public_error,
            answer_id=self.message_key if self.text else None,
            text="",
            ended_at=batch.now,
            first_token_ms=self.figures.first_token_ms,
            total_ms=self.figures.total_ms,
            prompt_tokens=usage.prompt_tokens if usage else None,
            completion_tokens=usage.completion_tokens if usage else None,
        )
        if not is_ours:
            return self._ended_before(replies)
        if not self.text:
            session.is_touched = True
            return Ended(self.state, None, None)
        model_id = replies.values_list("model_id", flat=True).get()
        seq = batch.add_message(session, self.message_key, sender=Sender.AI.value, content=self.text, model_id=model_id)
        return Ended(self.state, str(self.message_key), seq)

    def count(self, future: asyncio.Future[Any]) -> None:
        """Count the reply, once it is known that this is the end it has: another process may have been first."""
        if future.cancelled() or future.exception() is not None:
            return
        ended: Ended | None = future.result()
        if ended is None or ended.state != self.state:
            return
        figures = self.figures
        telemetry.count_reply(
            str(self.state),
            figures.model_id,
            first_token_ms=figures.first_token_ms,
            total_ms=figures.total_ms,
            prompt_tokens=figures.usage.prompt_tokens if figures.usage else 0,
            completion_tokens=figures.usage.completion_tokens if figures.usage else 0,
        )

    def _ended_before(self, replies: Any) -> Ended | None:
        """Return the end that we have stored already; None if it was another process, or the session's deletion."""
        stored = replies.exclude(ended_at=None).values("state", "answer_id", "answer__seq").first()
        if stored is None:
            return None
        answer = stored["answer_id"]
        return Ended(stored["state"], str(answer) if answer else None, stored["answer__seq"])


class Checkpoint(ReplyJob, eq=False, kw_only=True):
    """Store a running reply's text so far and renew its lease.

    Its result: whether somebody asked to stop; None when the reply is no longer ours to write.
    """

    text: str

    def run(self, batch: Batch) -> bool | None:
        batch.check_reply(self.key)
        batch.flush()
        replies = Reply.objects.using(batch.alias)
        ours = replies.filter(pk=self.key, runner=batch.runner, state__in=RUNNING)
        values: dict[str, Any] = {"text": self.text, "lease_until": _lease_until()}
        if self.text:
            values |= {"state": ReplyPhase.STREAMING, "first_token_at": Coalesce(F("first_token_at"), batch.now)}
        if not ours.update(**values):
            return None
        return bool(ours.values_list("stop_requested", flat=True).first())


class RequestStop(ReplyJob, eq=False, kw_only=True):
    """Leave the wish to stop for the process that runs the reply; it looks at every checkpoint."""

    def run(self, batch: Batch) -> None:
        batch.check_reply(self.key)
        batch.flush()
        running = Reply.objects.using(batch.alias).filter(pk=self.key, state__in=RUNNING)
        running.update(stop_requested=True)


class RenewLeases(Job, eq=False, kw_only=True):
    """Renew the leases of replies whose end is still to be stored by this process."""

    reply_ids: frozenset[str]

    def run(self, batch: Batch) -> None:
        replies = Reply.objects.using(batch.alias)
        ours = replies.filter(pk__in=self.reply_ids, runner=batch.runner, state__in=RUNNING)
        # One that somebody holds is not waited for: its turn comes with the next round.
        free = ours.select_for_update(skip_locked=True, no_key=True).values_list("pk", flat=True)
        replies.filter(pk__in=list(free)).update(lease_until=_lease_until())


class ClaimOrphans(Job, eq=False, kw_only=True):
    """Take over replies whose process has not renewed its lease, the oldest first; each goes to one claimant only."""

    def run(self, batch: Batch) -> list[Orphan]:
        replies = Reply.objects.using(batch.alias)
        expired = replies.filter(state__in=RUNNING, lease_until__lt=Now()).order_by("lease_until")
        claimed = []
        # One whose row is held is looked at by its process, or deleted; it is there in the next round, or gone.
        for reply in batch.locked(expired.select_related("message"), of=("self",))[:MAX_CLAIMED]:
            same = replies.filter(pk=reply.pk, state__in=RUNNING, runner=reply.runner, lease_until=reply.lease_until)
            if same.update(runner=batch.runner, lease_until=_lease_until()):
                claimed.append(
                    Orphan(
                        reply_id=str(reply.pk),
                        session_id=str(reply.session_id),
                        message_id=str(reply.message_id),
                        user_id=reply.owner_key,
                        client_ref=reply.message.client_ref,
                        attempt=reply.attempt,
                        text=reply.text,
                        wants_stop=reply.stop_requested,
                        continues=str(reply.continues) if reply.continues else None,
                    )
                )
        return claimed


def _lease_until() -> Any:
    """By the database's clock: one process whose own is ahead must not take over what others run."""
    return Now() + timedelta(seconds=conf.chat().lease_s)
