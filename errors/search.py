"""The one search box of the failure list: what somebody typed, looked up exactly in every indexed place it may mean.

Never a part of a word: `LIKE '%...%'` would read the whole table.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from datetime import datetime

from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.db.models import Q, QuerySet
from django.utils.translation import gettext as _

from errors.failure import read_reference
from errors.models import RoutingFailure

_MAX_CHARS = 255  # characters; the longest value of the columns that are searched
_QUOTED = re.compile(r"\bE-[0-9A-Z]{4}-?[0-9A-Z]{4}\b", re.IGNORECASE)
_IPV6_SITE = 64  # bits; a record has of an IPv6 address only the network
MAX_SEARCHED = 100_000  # failures in which something is looked for that no index has; these take 0.1 s
_MAX_NAMESAKES = 5  # users that one name may mean, where a project's user names are not unique


def condition(text: str) -> Q:
    """Return the condition that selects what `text` means; it selects nothing where it means nothing.

    Each meaning is first asked for on its own: nearly always one of them exists, and then its index also serves the
    order of the list, which an OR over all of them would not.
    """
    found = [meaning for meaning in _meanings(text) if RoutingFailure.objects.filter(meaning).exists()]
    if not found:
        return Q(pk__in=[])
    selected = found[0]
    for meaning in found[1:]:
        selected |= meaning
    return selected


def described(text: str) -> list[str]:
    """Return what `condition` looks for, in words: for the page that has to say that it found nothing."""
    reference = _reference_in(text)
    return [
        *([_("the reference %s") % reference] if reference else []),
        _("a session, a connection or a user id that is exactly this"),
        _("a user of exactly this name"),
    ]


def address(text: str) -> str | None:
    """Return the address that `text` is, as a record has it; None if it is none."""
    try:
        found = ipaddress.ip_interface(text.strip()).ip
    except ValueError:
        return None
    found = getattr(found, "ipv4_mapped", None) or found
    return str(found if found.version == 4 else ipaddress.ip_network((found, _IPV6_SITE), strict=False))


def reach(failures: QuerySet[RoutingFailure]) -> datetime | None:
    """Return back to when `MAX_SEARCHED` of `failures` reach; None if they are no more than that."""
    times = failures.order_by("-occurred_at").values_list("occurred_at", flat=True)
    return next(iter(times[MAX_SEARCHED - 1 : MAX_SEARCHED]), None)


def _meanings(text: str) -> Iterator[Q]:
    text = text.strip()
    if not text or len(text) > _MAX_CHARS:
        return
    if reference := _reference_in(text):
        yield Q(reference=reference)
    yield Q(session_id=text)
    yield Q(connection_id=text)
    yield Q(user_id=text)
    for user_id in users_named(text):
        yield Q(user_id=user_id)


def _reference_in(text: str) -> str | None:
    """Return the reference that `text` is, or that stands somewhere in a pasted sentence."""
    if reference := read_reference(text):
        return reference
    quoted = _QUOTED.search(text)
    return read_reference(quoted[0]) if quoted else None


def users_named(name: str) -> list[str]:
    """Return the ids of the users that have exactly this name."""
    users = get_user_model()
    try:
        keys = users._default_manager.filter(**{users.USERNAME_FIELD: name}).values_list("pk", flat=True)
        return [str(key) for key in keys[:_MAX_NAMESAKES]]
    except (ValueError, ValidationError):
        return []  # names that are no text: numbers, UUIDs
