"""Conversations as they are stored. The database is the truth; everything on the wire can be recreated from here."""

from __future__ import annotations

from typing import ClassVar

from django.conf import settings
from django.db import models
from django.utils import timezone

from errors.keys import new_key


class Sender(models.TextChoices):
    USER = "user", "person"
    AI = "ai", "assistant"
    ADMIN = "admin", "admin"
    SYSTEM = "system", "system"


class ChatSession(models.Model):
    """One conversation, owned by one user."""

    id = models.UUIDField(primary_key=True, default=new_key, editable=False)
    # `db_index=False` here and below: an index of Meta begins with the same column, and each one more is a write more.
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="chat_sessions", db_index=False
    )
    # The ref of the message that opened the session: sending that message twice opens one session.
    origin_ref = models.CharField(max_length=64, null=True)  # noqa: DJ001 -- NULLs are distinct in a unique constraint
    title = models.CharField(max_length=80, blank=True)
    model_id = models.CharField("model", max_length=128, blank=True)
    assistant_enabled = models.BooleanField(default=True)
    last_seq = models.PositiveBigIntegerField(default=0)
    created_at = models.DateTimeField(default=timezone.now)
    last_activity_at = models.DateTimeField(default=timezone.now)
    ended_at = models.DateTimeField(null=True)
    # When a process last said that a connection of its own has it open; only written where the session is long unused.
    seen_at = models.DateTimeField(null=True)

    class Meta:
        app_label = "chat"
        verbose_name = "session"
        constraints: ClassVar = [models.UniqueConstraint(fields=["owner", "origin_ref"], name="session_origin_ref")]
        indexes: ClassVar = [models.Index(fields=["owner", "-last_activity_at", "-id"], name="session_recent")]
        # Whoever may see that a session exists may not for that reason read it: titles and messages need this one.
        permissions: ClassVar = [("read_transcript", "Can read the titles and messages of sessions")]

    def __str__(self) -> str:
        # Not the title: it is what somebody wrote, and this ends up in headings and logs.
        return f"session {self.id}"


class ChatMessage(models.Model):
    """One line of a conversation. `seq` is gap-free within its session."""

    id = models.UUIDField(primary_key=True, default=new_key, editable=False)
    session = models.ForeignKey(ChatSession, on_delete=models.CASCADE, related_name="messages", db_index=False)
    seq = models.PositiveBigIntegerField()
    sender = models.CharField(max_length=8, choices=Sender.choices)
    content = models.TextField()
    client_ref = models.CharField(max_length=64, null=True)  # noqa: DJ001 -- NULLs are distinct in a unique constraint
    model_id = models.CharField("model", max_length=128, blank=True)
    metadata = models.JSONField(default=dict)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        app_label = "chat"
        verbose_name = "message"
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["session", "seq"], name="message_seq"),
            models.UniqueConstraint(fields=["session", "client_ref"], name="message_client_ref"),
        ]

    def __str__(self) -> str:
        return f"{self.sender} message {self.seq}"


class ReplyPhase(models.TextChoices):
    PENDING = "pending"
    STREAMING = "streaming"
    COMPLETE = "complete"
    PARTIAL = "partial"  # it broke off; what had arrived is kept
    STOPPED = "stopped"  # the person stopped it
    FAILED = "failed"  # nothing had arrived


RUNNING = (ReplyPhase.PENDING, ReplyPhase.STREAMING)
BROKEN_OFF = (ReplyPhase.PARTIAL, ReplyPhase.STOPPED)


class Reply(models.Model):
    """One answer of the assistant to one user message; a retry is another row. It ends exactly once."""

    id = models.UUIDField(primary_key=True, default=new_key, editable=False)
    session = models.ForeignKey(ChatSession, on_delete=models.CASCADE, related_name="replies")
    message = models.ForeignKey(ChatMessage, on_delete=models.CASCADE, related_name="replies", db_index=False)
    answer = models.OneToOneField(ChatMessage, on_delete=models.SET_NULL, null=True, related_name="answers")
    owner_key = models.CharField(max_length=255)  # the session's owner as text: counted per user without a join
    attempt = models.PositiveIntegerField(default=1)
    # The reply from whose text this one goes on: both are one answer. Not a foreign key: both go with their session.
    continues = models.UUIDField(null=True)
    model_id = models.CharField("model", max_length=128, blank=True)
    state = models.CharField(max_length=12, choices=ReplyPhase.choices, default=ReplyPhase.PENDING)
    text = models.TextField(blank=True)  # checkpoint of a running reply
    error = models.JSONField(null=True)  # the public error object that people were told
    stop_requested = models.BooleanField(default=False)
    # The process that runs it. It renews the lease; once that is over another process may take the reply over.
    runner = models.CharField(max_length=32, blank=True)
    lease_until = models.DateTimeField()
    # As the provider counts them, at the end; our estimate where it was stopped before, or does not count. NULL where
    # nothing came of it.
    prompt_tokens = models.PositiveIntegerField(null=True)
    completion_tokens = models.PositiveIntegerField(null=True)
    first_token_ms = models.PositiveIntegerField("first token (ms)", null=True)
    total_ms = models.PositiveIntegerField("total (ms)", null=True)
    created_at = models.DateTimeField(default=timezone.now)
    first_token_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)

    class Meta:
        app_label = "chat"
        verbose_name = "reply"
        verbose_name_plural = "replies"
        indexes: ClassVar = [
            models.Index(fields=["message", "-attempt"], name="reply_attempt"),
            models.Index(fields=["owner_key"], name="reply_running_owner", condition=models.Q(state__in=RUNNING)),
            models.Index(fields=["owner_key", "created_at"], name="reply_owner_day"),
            models.Index(fields=["lease_until"], name="reply_lease", condition=models.Q(state__in=RUNNING)),
        ]

    def __str__(self) -> str:
        return f"reply {self.id} ({self.state})"
