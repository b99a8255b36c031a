"""Whether people who are connected may stay: an account may be closed, a password changed, a login may run out.

Checked every `access_check_s` seconds for everybody, in few queries, and at once for an account that was changed.
While the database, or the cache that holds the login sessions, does not answer, everybody stays.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from enum import Enum
from typing import Any, Protocol

from django.conf import settings
from django.contrib.auth import (
    BACKEND_SESSION_KEY,
    HASH_SESSION_KEY,
    SESSION_KEY,
    get_user_model,
)
from django.db import router
from django.utils.crypto import constant_time_compare

from chat import conf, login_store, sessions
from chat.auth import Login
from chat.database import DatabaseThreads
from errors.loggers import get_logger

log = get_logger("chat.access")

_CHUNK = 500  # logins of one query; below the parameter limits of SQLite and PostgreSQL


class Verdict(Enum):
    HOLDS = "holds"
    OVER = "over"  # the account is closed, the password changed, the login's time is up
    GONE = "gone"  # no such login session any more: it ended, or goes on under another key that the browser has


class Guest(Protocol):
    """A connection, as it is seen here."""

    login: Login

    def end_access(self) -> None: ...

    def come_back(self) -> None: ...


class Access:
    """One per event loop; owned by `runtime`.

    Args:
        guests: Returns who is connected now.
    """

    def __init__(self, threads: DatabaseThreads, guests: Callable[[], Iterable[Guest]]) -> None:
        self._threads = threads
        self._guests = guests
        self._suspects: set[Guest] = set()
        self._wake = asyncio.Event()

    def look_at(self, guests: Iterable[Guest]) -> None:
        """Look at these soon, without waiting for their turn."""
        self._suspects.update(guests)
        self._wake.set()

    async def keep_watch(self) -> None:
        loop = asyncio.get_running_loop()
        next_round = loop.time() + conf.chat().access_check_s
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout_at(next_round):
                    await self._wake.wait()
            # Asked of the clock: while people come and come there is always somebody to look at, and no timeout.
            if loop.time() >= next_round:
                self._suspects.update(self._guests())
                next_round = loop.time() + conf.chat().access_check_s
            self._wake.clear()
            await self._look_at_suspects()

    async def _look_at_suspects(self) -> None:
        suspects, self._suspects = list(self._suspects), set()
        for start in range(0, len(suspects), _CHUNK):
            await self._look(suspects[start : start + _CHUNK])

    async def _look(self, guests: list[Guest]) -> None:
        try:
            verdicts = await self._threads.run(judge, {guest.login for guest in guests})
        except Exception as exc:
            log.warning("chat.access_not_checked", cause=type(exc).__name__)
            return
        for guest in guests:
            match verdicts[guest.login]:
                case Verdict.OVER:
                    guest.end_access()
                case Verdict.GONE:
                    guest.come_back()


def judge(logins: Collection[Login]) -> dict[Login, Verdict]:
    """Return for each login whether it still holds, by Django's own rules. Synchronous ORM."""
    users = get_user_model()
    alias = router.db_for_write(users)
    keys = {login.user_id: sessions.user_key(login.user_id) for login in logins}
    accounts = users._default_manager.using(alias).in_bulk(list(keys.values()))
    stored = login_store.read({login.session_key for login in logins})
    return {
        login: _verdict(stored.get(login.session_key), accounts.get(keys[login.user_id]), login.user_id)
        for login in logins
    }


def _verdict(session: dict[str, Any] | None, user: Any, user_id: str) -> Verdict:
    if user is None or not user.is_active:
        return Verdict.OVER
    if session is None:
        return Verdict.GONE
    is_theirs = session.get(SESSION_KEY) == user_id and session.get(BACKEND_SESSION_KEY) in (
        settings.AUTHENTICATION_BACKENDS
    )
    return Verdict.HOLDS if is_theirs and _has_hash_of(session, user) else Verdict.OVER


def _has_hash_of(session: dict[str, Any], user: Any) -> bool:
    if not hasattr(user, "get_session_auth_hash"):
        return True
    signed = session.get(HASH_SESSION_KEY) or ""
    hashes = [user.get_session_auth_hash(), *user.get_session_auth_fallback_hash()]
    return any(constant_time_compare(signed, one) for one in hashes)
