"""The cause of failures in few words, as the list, the filters and the summary call it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime

from django.db.models import Q

from errors import extent as extents
from errors.exceptions import ChatError
from errors.models import RoutingFailure

BRIEF_CHARS = 80  # characters; what fits beside the other columns
MAX_COUNT = 1_000  # failures of one cause; beyond that the number tells nothing new

_OWN = f"{ChatError.__module__}.{ChatError.__qualname__}: "
_DOTTED = re.compile(r"(?:[\w<>]+\.)*([\w<>]+)(?=:|$)")


def in_brief(cause: str, chars: int = BRIEF_CHARS) -> str:
    """Return the first `chars` characters of a stored cause, in one line and without the exception's module.

    Of an error of the catalogue without its class, too: its code tells more.
    """
    cause = cause.removeprefix(_OWN)
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


def since(fingerprint: str) -> datetime | None:
    """Return the time of the first failure with this cause that is still kept."""
    oldest = RoutingFailure.objects.filter(fingerprint=fingerprint).order_by("occurred_at")
    return oldest.values_list("occurred_at", flat=True).first()


def _named(fingerprint: str, cause: str) -> str:
    return in_brief(cause) or fingerprint


def extent(fingerprint: str) -> extents.Extent | None:
    """Return how far the failures with this cause reach; of people, those of the newest `MAX_COUNT` are counted."""
    return extents.read(RoutingFailure.objects.filter(fingerprint=fingerprint), MAX_COUNT)
