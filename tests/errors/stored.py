"""Stored failures and signed-in staff, for the tests of the admin."""

from __future__ import annotations

import json
import re
from datetime import datetime, timedelta
from html import unescape
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.core.cache import cache
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from errors import catalogue
from errors.failure import new_reference
from errors.models import RoutingFailure

LIST = "/admin/errors/routingfailure/"


def store(code: str = "LLM_UNAVAILABLE", *, ago: timedelta = timedelta(), **fields: Any) -> RoutingFailure:
    """One row as the recorder would have written it."""
    spec = next(spec for spec in catalogue.specs() if spec.code == code)
    reference = fields.setdefault("reference", new_reference())
    frame = {"type": "error", "error": {"code": code, "message": spec.message, "reference": reference}}
    values: dict[str, Any] = {
        "occurred_at": timezone.now() - ago,
        "code": code,
        "category": spec.category.value,
        "stage": "reply",
        "recoverable": spec.rule.recoverable,
        "outcome": "saved",
        "message_type": "user_message",
        "user_id": "1",
        "session_id": "session-of-alice",
        "connection_id": "connection-of-alice",
        "cause": "TimeoutError: no token within 15 s",
        "causes": [
            {"type": "errors.exceptions.ChatError", "message": code, "where": "answer in chat/llm/openai.py:7"},
            {"type": "TimeoutError", "message": "no token within 15 s", "where": "read in ssl.py:9"},
        ],
        "fingerprint": "0123456789abcdef",
        "traceback": "Traceback (most recent call last):\n  ...\nTimeoutError: no token within 15 s\n",
        "frame": json.dumps(frame),
        "deliveries": 1,
    }
    return RoutingFailure.objects.create(**values | fields)


def at(moment: datetime, **fields: Any) -> RoutingFailure:
    return store(occurred_at=moment, **fields)


def staff(name: str = "carol", *, may_view: bool = True, is_superuser: bool = False) -> Client:
    """Somebody of the staff, signed in; no figures of an earlier test are left in the cache."""
    cache.clear()
    user = get_user_model().objects.create_user(name, is_staff=True, is_superuser=is_superuser)
    if may_view:
        user.user_permissions.add(Permission.objects.get(codename="view_routingfailure"))
    client = Client()
    client.force_login(user)
    return client


def page(failure: RoutingFailure) -> str:
    return reverse("admin:errors_routingfailure_change", args=[failure.pk])


def references(response: Any) -> list[str]:
    """The references in the list, in its order."""
    assert response.status_code == 200, response.status_code
    return [failure.reference for failure in response.context["cl"].result_list]


def words(html: str) -> str:
    """The text that a reader sees, without tags and with single spaces."""
    html = re.sub(r"(?s)<(script|style)\b.*?</\1>", " ", html)
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", html)).split())
