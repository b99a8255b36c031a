"""`RoutingFailure`: one stored failure, as support and operations look it up.

No foreign keys: a failure must be writable when no session or user exists, and survive the deletion of both.
"""

from __future__ import annotations

import uuid
from typing import ClassVar

from django.db import models
from django.utils.translation import gettext_lazy as _

from errors.taxonomy import Category, Outcome, Stage


def _choices(words: type[Category] | type[Stage] | type[Outcome]) -> list[tuple[str, str]]:
    return [(word.value, word.value.replace("_", " ")) for word in words]


class RoutingFailure(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    reference = models.CharField(max_length=11, db_index=True)  # not unique: 40 random bits
    occurred_at = models.DateTimeField(_("time"))

    code = models.CharField(max_length=64)
    category = models.CharField(max_length=16, choices=_choices(Category))
    stage = models.CharField(max_length=16, choices=_choices(Stage))
    recoverable = models.BooleanField()
    outcome = models.CharField(max_length=16, choices=_choices(Outcome))
    field = models.CharField(max_length=64, blank=True)
    retry_after_ms = models.PositiveIntegerField(_("retry after (ms)"), null=True)
    attempt = models.PositiveIntegerField(null=True)

    # Ids as text, whatever type of key the project's users have. Bounded by protocol limits.
    message_type = models.CharField(max_length=64)
    user_id = models.CharField(_("user"), max_length=255, blank=True)
    session_id = models.CharField(_("session"), max_length=128, blank=True)
    connection_id = models.CharField(_("connection"), max_length=64, blank=True)
    # With a default of the database's own: a process of the release before goes on writing rows after `migrate`.
    address = models.CharField(max_length=64, blank=True, default="", db_default="")
    ref = models.CharField(max_length=64, blank=True)
    reply_id = models.CharField(_("reply"), max_length=64, blank=True)
    in_reply_to = models.CharField(max_length=64, blank=True)

    cause = models.TextField()  # the innermost exception in one line
    causes = models.JSONField(default=list)  # [{type, message, where}], from what was caught down to the root
    fingerprint = models.CharField(max_length=32)
    traceback = models.TextField(blank=True)  # empty when the same cause had one within the same second

    frame = models.TextField(_("what the person was told"), blank=True)
    deliveries = models.PositiveIntegerField(_("connections told"), default=0)
    drops = models.PositiveIntegerField(_("frames dropped"), default=0)

    class Meta:
        app_label = "errors"
        verbose_name = _("routing failure")
        ordering: ClassVar = ["-occurred_at", "-id"]
        permissions: ClassVar = [("export_routingfailure", _("Can export routing failures"))]
        indexes: ClassVar = [
            # The list is newest first, narrowed by any of the closed sets. The first two indexes carry all of those, so
            # that only rows that match are looked up (a rare outcome among a million rows: 0.1 s instead of 1.3 s), and
            # the 24-hour summary and the counts need no row at all.
            models.Index(
                fields=["-occurred_at", "category", "code", "stage", "outcome", "message_type"], name="failure_time"
            ),
            models.Index(fields=["code", "-occurred_at", "stage", "outcome", "message_type"], name="failure_code"),
            models.Index(fields=["fingerprint", "-occurred_at"], name="failure_fingerprint"),
            models.Index(fields=["user_id", "-occurred_at"], name="failure_user"),
            models.Index(fields=["session_id", "-occurred_at"], name="failure_session"),
            models.Index(fields=["connection_id", "-occurred_at"], name="failure_connection"),
        ]

    def __str__(self) -> str:
        return f"{self.reference} {self.code}"
