"""The names of users whose keys failures hold, whatever user model the project has."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError


def names(keys: Iterable[str]) -> dict[str, str]:
    """Return the names of those that exist, by key, in one query."""
    users = get_user_model()
    wanted = list(_readable(users._meta.pk, set(keys)))
    if not wanted:
        return {}
    found = users._default_manager.filter(pk__in=wanted).values_list("pk", users.USERNAME_FIELD)
    return {str(key): str(name) for key, name in found}


def _readable(field: Any, keys: set[str]) -> Iterator[Any]:
    """A failure keeps whatever a client was known by: one key that is none must not hide the names of the others."""
    for key in keys:
        try:
            value = field.to_python(key)
            field.run_validators(value)  # numbers that are too large for the database
        except (ValidationError, ValueError, OverflowError):
            continue
        yield value
