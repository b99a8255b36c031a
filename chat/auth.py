"""Who is connecting: Django's login session, read on a thread of our own. Synchronous; runs on a database thread.

Also what ends it from outside: signing out, and changes to the account. Whether the logins of open sockets still hold
is looked at by `access`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from types import SimpleNamespace
from typing import Any, cast

from django.conf import settings
from django.contrib.auth import get_user
from django.contrib.auth.signals import user_logged_out
from django.db import transaction
from django.db.models.signals import post_delete, post_save
from django.dispatch import receiver
from django.http import HttpRequest

from chat import groups, hub, hub_calls, login_store, sessions
from errors.exceptions import ChatError
from errors.loggers import get_logger
from errors.taxonomy import DATABASE_ERROR, UNAUTHORIZED

log = get_logger("chat.auth")

_RETRY_AFTER_MS = 1_000  # milliseconds; a restart or a failover is usually over by then
_ACCESS_FIELDS = {"password", "is_active"}  # of the account; who loses one of these loses the sockets


@dataclass(frozen=True, slots=True)
class Login:
    """The login session with which a socket was opened."""

    user_id: str
    session_key: str = field(repr=False)

    @property
    def key(self) -> str:
        """Names the login session without giving anything of it away."""
        return login_key(self.session_key)


@dataclass(frozen=True, slots=True)
class SignedIn:
    user_id: str
    login: Login
    latest_session_id: str | None  # the most recent open one


class _ReadOnlySession:
    """A login session that Django may read but not change.

    Django gives a session another key when it is signed with an old secret (`SECRET_KEY_FALLBACKS`), and deletes one
    that does not hold. The new key would have to reach the browser in a cookie, which a socket cannot set: the person
    would be signed out. So that is left to the next HTTP request.
    """

    def __init__(self, store: Any) -> None:
        self._store = store

    def __getitem__(self, key: str) -> Any:
        return self._store[key]

    def get(self, key: str, default: Any = None) -> Any:
        return self._store.get(key, default)

    def __setitem__(self, key: str, value: Any) -> None:
        """Nothing: see the class."""

    def cycle_key(self) -> None:
        """Nothing: see the class."""

    def flush(self) -> None:
        """Nothing: see the class."""


def sign_in(cookies: Mapping[str, str]) -> SignedIn:
    """Return whose login session the cookie names.

    Django's own rules hold: the backend must still be configured, the account active, the password unchanged.

    Raises:
        ChatError: UNAUTHORIZED; DATABASE_ERROR where the login sessions cannot be read. Also what the database raises.
    """
    cookie = cookies.get(settings.SESSION_COOKIE_NAME, "")
    if not login_store.may_be_key(cookie):
        raise ChatError(UNAUTHORIZED)
    login = _login(cookie)
    if login is None and cookie and login_store.hides_outages():
        _check_store(cookie)
        login = _login(cookie)  # it may have been away just now
    if login is None:
        raise ChatError(UNAUTHORIZED)
    return SignedIn(login.user_id, login, sessions.most_recent_open(login.user_id))


def _login(cookie: str) -> Login | None:
    store = login_store.engine()(cookie or None)
    user = get_user(cast("HttpRequest", SimpleNamespace(session=_ReadOnlySession(store))))
    return Login(str(user.pk), str(store.session_key)) if user.is_authenticated and user.is_active else None


def _check_store(cookie: str) -> None:
    """Nobody is asked to sign in because the keeper of the login sessions is away: they come back, and it may be back.

    Raises:
        ChatError: DATABASE_ERROR.
    """
    try:
        login_store.read({cookie})
    except Exception as exc:
        raise ChatError(DATABASE_ERROR, retry_after_ms=_RETRY_AFTER_MS, detail="no login session can be read") from exc


def login_key(session_key: str) -> str:
    return hashlib.blake2s(session_key.encode()).hexdigest()


# --- What ends it from outside ----------------------------------------------------------------------------------------


@receiver(user_logged_out)
def end_sockets_of_login(request: HttpRequest | None = None, user: Any = None, **_: Any) -> None:
    """Tell every process that a login session is over: sockets opened with it end with it (channels#1324)."""
    session_key = getattr(getattr(request, "session", None), "session_key", None)
    if user is not None and session_key is not None:
        _tell(user.pk, hub.SIGNED_OUT, login_key(session_key))


@receiver(post_save, sender=settings.AUTH_USER_MODEL)
@receiver(post_delete, sender=settings.AUTH_USER_MODEL)
def look_at_sockets_of(
    instance: Any, using: str, created: bool = False, update_fields: frozenset[str] | None = None, **_: Any
) -> None:
    """Tell every process that an account changed: whether its sockets may stay is to be looked at."""
    if created or (update_fields is not None and not _ACCESS_FIELDS & set(update_fields)):
        return  # signing in itself saves the account, with `last_login` only
    transaction.on_commit(partial(_tell, instance.pk, hub.ACCESS_CHANGED), using=using)


def _tell(user_key: Any, control: str, value: str = "") -> None:
    """This process's sockets hear it at once. What others miss because the layer is away, `access` finds.

    Signing out and saving an account must not fail because the layer is away.
    """
    try:
        hub_calls.control(groups.of_user(str(user_key)), control, value)
    except Exception as exc:
        log.warning("chat.sign_out_not_announced", user_id=str(user_key), cause=type(exc).__name__)
