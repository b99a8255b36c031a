"""Who is connecting: Django's login session, read on a thread of our own. Synchronous; runs on a database thread."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from types import SimpleNamespace
from typing import Any, cast

import structlog
from asgiref.sync import async_to_sync
from channels.layers import get_channel_layer
from django.conf import settings
from django.contrib.auth import get_user
from django.contrib.auth.signals import user_logged_out
from django.dispatch import receiver
from django.http import HttpRequest

from chat import conf, groups, sessions
from errors.exceptions import ChatError
from errors.taxonomy import UNAUTHORIZED

log = structlog.stdlib.get_logger("chat.auth")


@dataclass(frozen=True, slots=True)
class SignedIn:
    user_id: str
    login_key: str  # names the login session, and gives nothing of it away
    latest_session_id: str | None  # the most recent open one


def sign_in(cookies: Mapping[str, str]) -> SignedIn:
    """Return whose login session the cookie names.

    Django's own rules hold: the backend must still be configured, the account active, the password unchanged.

    Raises:
        ChatError: UNAUTHORIZED.
    """
    store = import_module(settings.SESSION_ENGINE).SessionStore(cookies.get(settings.SESSION_COOKIE_NAME))
    user = get_user(cast("HttpRequest", SimpleNamespace(session=store)))
    if not user.is_authenticated or not user.is_active:
        raise ChatError(UNAUTHORIZED)
    user_id = str(user.pk)
    return SignedIn(user_id, login_key(str(store.session_key)), sessions.most_recent_open(user_id))


def login_key(session_key: str) -> str:
    return hashlib.blake2s(session_key.encode()).hexdigest()


@receiver(user_logged_out)
def end_sockets_of_login(request: HttpRequest | None = None, user: Any = None, **_: Any) -> None:
    """Tell every process that a login session is over: sockets opened with it end with it (channels#1324).

    Signing out itself must not fail because the layer is away.
    """
    session_key = getattr(getattr(request, "session", None), "session_key", None)
    if user is None or session_key is None:
        return
    group = groups.of_user(str(user.pk))
    event = {"type": groups.EVENT, "group": group, "signed_out": login_key(session_key)}
    try:
        async_to_sync(_send)(group, event)
    except Exception as exc:
        log.warning("chat.sign_out_not_announced", user_id=str(user.pk), cause=type(exc).__name__)


async def _send(group: str, event: dict[str, Any]) -> None:
    async with asyncio.timeout(conf.chat().layer_timeout_s):
        await get_channel_layer().group_send(group, event)
