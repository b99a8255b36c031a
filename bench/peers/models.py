"""What the compared servers store."""

from __future__ import annotations

from django.conf import settings
from django.db import models


class Message(models.Model):
    room = models.CharField(max_length=64, db_index=True)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE)
    content = models.TextField()
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        app_label = "peers"

    def __str__(self) -> str:
        return f"message {self.pk}"
