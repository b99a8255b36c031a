"""Who is connecting: Django's login session, read on a thread of our own. Synchronous; runs on a database thread."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from types import SimpleNamespace
from typing import Any, cast

from django.conf import settings
from django.contrib.auth import get_user
from django.http import HttpRequest, parse_cookie

from chat import sessions
from errors.exceptions import ChatError
from errors.taxonomy import UNAUTHORIZED


@dataclass(frozen=True, slots=True)
class SignedIn:
    user_id: str
    latest_session_id: str | None  # the most recent open one


def cookies_of(scope: Mapping[str, Any]) -> dict[str, str]:
    values = b"; ".join(value for key, value in scope["headers"] if key == b"cookie")
    return parse_cookie(values.decode("latin-1"))


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
    return SignedIn(user_id, sessions.most_recent_open(user_id))
