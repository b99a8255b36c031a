"""The one search box of the failure list: what somebody typed, looked up exactly in every indexed place it may mean.

Never a part of a word: `LIKE '%...%'` would read the whole table.
"""

from __future__ import annotations

import ipaddress
import re
import string
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
_LETTERS = string.digits + string.ascii_uppercase
_MAX_NEAR = 3
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


def near(text: str) -> list[RoutingFailure]:
    """Return the failures whose reference differs from that in `text` by one letter, or by two that changed places.

    That is how a reference comes over the telephone. Some 250 are looked up by the index; that one of them exists by
    chance is rare: among a million failures once in 4 000 searches.
    """
    reference = _reference_in(text)
    if not reference:
        return []
    typed = reference.removeprefix("E-").replace("-", "")
    heard = {f"{typed[:place]}{char}{typed[place + 1 :]}" for place in range(8) for char in _LETTERS}
    heard |= {f"{typed[:place]}{typed[place + 1]}{typed[place]}{typed[place + 2 :]}" for place in range(7)}
    candidates = {read_reference(letters) for letters in heard} - {reference, None}
    found = RoutingFailure.objects.filter(reference__in=candidates).order_by("-occurred_at")
    return list(found.only("reference", "code", "occurred_at", "user_id")[:_MAX_NEAR])


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
