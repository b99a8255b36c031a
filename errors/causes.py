"""The cause of failures in few words, as the list, the filters and the summary call it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime

from django.db.models import Q

from errors.models import RoutingFailure

BRIEF_CHARS = 80  # characters; what fits beside the other columns
MAX_COUNT = 1_000  # failures of one cause; beyond that the number tells nothing new

_DOTTED = re.compile(r"(?:[\w<>]+\.)*([\w<>]+)(?=:|$)")


def in_brief(cause: str, chars: int = BRIEF_CHARS) -> str:
    """Return the first `chars` characters of a stored cause, in one line and without the exception's module."""
    line = " ".join(_DOTTED.sub(r"\1", cause, count=1).split() if _DOTTED.match(cause) else cause.split())
    return line if len(line) <= chars else f"{line[: chars - 1]}…"


def words(newest: Mapping[str, datetime]) -> dict[str, str]:
    """Return what to call each cause: the words of its failure at the given time. One query, by the cause's index."""
    if not newest:
        return {}
    wanted = Q()
    for fingerprint, moment in newest.items():
        wanted |= Q(fingerprint=fingerprint, occurred_at=moment)
    found = dict(RoutingFailure.objects.filter(wanted).order_by().values_list("fingerprint", "cause"))
    return {fingerprint: _named(fingerprint, found.get(fingerprint, "")) for fingerprint in newest}


def called(fingerprint: str) -> str:
    """Return what to call one cause, by its newest failure; its fingerprint where none is left."""
    newest = RoutingFailure.objects.filter(fingerprint=fingerprint).order_by("-occurred_at")
    return _named(fingerprint, newest.values_list("cause", flat=True).first() or "")


def _named(fingerprint: str, cause: str) -> str:
    return in_brief(cause) or fingerprint


def count(fingerprint: str) -> int:
    """Return how many failures have this cause, at most one more than `MAX_COUNT`."""
    same = RoutingFailure.objects.filter(fingerprint=fingerprint).order_by()
    return same.values("occurred_at")[: MAX_COUNT + 1].count()
