"""Django's login sessions, wherever the project keeps them: read many at once, and never taken for gone in an outage.

Django's own `load` takes a cache that does not answer for a session that is not there. Synchronous; used by `auth` and
`access`.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection
from datetime import datetime
from importlib import import_module
from typing import Any

from django.conf import settings
from django.contrib.sessions.backends import cache as cache_engine
from django.core.cache import caches
from django.db import router
from django.utils import timezone

_PROBE_S = 10  # seconds that a probe stays in the cache


class LoginStoreAway(Exception):
    """The cache that holds the login sessions does not keep what it is given."""


def engine() -> Any:
    return import_module(settings.SESSION_ENGINE).SessionStore


def may_be_key(cookie: str) -> bool:
    """Whether a cookie may name a login session. No keeper makes other keys, and PostgreSQL raises over a NUL."""
    return cookie.isascii() and cookie.isprintable()


def hides_outages() -> bool:
    """Whether Django takes an outage for a login session that is not there: it does where they are in a cache only."""
    return getattr(engine(), "load", None) is cache_engine.SessionStore.load


def read(keys: Collection[str]) -> dict[str, dict[str, Any]]:
    """Return what the login sessions hold, by key. One that has run out is empty; one that is not there is missing.

    Raises:
        Exception: What the database or the cache raises: whether a session is there is not known then.
    """
    store_class = engine()
    if hasattr(store_class, "get_model_class"):
        return _read_rows(store_class, keys)
    if hides_outages():
        return _read_cache(store_class, keys)
    found = {key: store_class(key).load() for key in keys}
    return {key: session for key, session in found.items() if session}


def _read_rows(store_class: Any, keys: Collection[str]) -> dict[str, dict[str, Any]]:
    model, store, now = store_class.get_model_class(), store_class(), timezone.now()
    rows = model._default_manager.using(router.db_for_write(model)).filter(pk__in=keys)

    def read(data: str, until: datetime) -> dict[str, Any]:
        return store.decode(data) if until > now else {}

    return {key: read(data, until) for key, data, until in rows.values_list("pk", "session_data", "expire_date")}


def _read_cache(store_class: Any, keys: Collection[str]) -> dict[str, dict[str, Any]]:
    cache = caches[settings.SESSION_CACHE_ALIAS]
    # Django makes no other keys, and some caches raise over them.
    names = {store_class(key).cache_key: key for key in keys if key.isascii() and key.isalnum()}
    found = {names[name]: session for name, session in cache.get_many(list(names)).items() if session}
    if len(found) < len(keys):
        _probe(cache)
    return found


def _probe(cache: Any) -> None:
    """Some caches answer nothing in an outage, and raise nothing: then they do not keep anything either."""
    name = f"chat.login_store.{uuid.uuid4().hex}"
    cache.set(name, 1, _PROBE_S)
    if cache.get(name) != 1:
        raise LoginStoreAway
