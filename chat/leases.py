"""A running reply's row: checkpoints, the wish to stop, and the lease that tells whose it is. Synchronous ORM."""

from __future__ import annotations

from datetime import timedelta

from django.db.models import F
from django.db.models.functions import Coalesce, Now
from django.utils import timezone

from chat import conf
from chat.models import RUNNING, Reply, ReplyPhase
from chat.sessions import as_uuid


def checkpoint(reply_id: str, text: str) -> bool | None:
    """Store the text so far and renew the lease.

    Returns:
        Whether somebody asked to stop; None when the reply is no longer running, because another process ended it.
    """
    lease_until = timezone.now() + timedelta(seconds=conf.chat().lease_s)
    running = Reply.objects.filter(pk=as_uuid(reply_id), state__in=RUNNING)
    values = {"text": text, "lease_until": lease_until}
    if text:
        values |= {"state": ReplyPhase.STREAMING, "first_token_at": Coalesce(F("first_token_at"), Now())}
    if not running.update(**values):
        return None
    return bool(running.values_list("stop_requested", flat=True).first())


def request_stop(reply_id: str) -> None:
    """Leave the wish to stop for the process that runs the reply; it looks at every checkpoint."""
    Reply.objects.filter(pk=as_uuid(reply_id), state__in=RUNNING).update(stop_requested=True)


def claim_expired(limit: int = 20) -> list[Reply]:
    """Take over replies whose process has not renewed its lease; each goes to one claimant only."""
    now = timezone.now()
    lease_until = now + timedelta(seconds=conf.chat().lease_s)
    claimed = []
    for reply in Reply.objects.filter(state__in=RUNNING, lease_until__lt=now).select_related("message")[:limit]:
        mine = Reply.objects.filter(pk=reply.pk, state__in=RUNNING, lease_until=reply.lease_until)
        if mine.update(lease_until=lease_until):
            claimed.append(reply)
    return claimed
