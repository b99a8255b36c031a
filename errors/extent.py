"""How far the failures of a list reach: since when and until when, and how many people, sessions and addresses."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.db.models import Count, Max, Min, Q, QuerySet

from errors.models import RoutingFailure

MAX_COUNT = 10_000  # failures in which people are counted, the newest: each is looked up (20 ms for all of them)


@dataclass(frozen=True, slots=True)
class Extent:
    """
    Attributes:
        count, people, sessions, addresses: At most of the newest `MAX_COUNT`.
        first: Of all of them, however many there are.
    """

    count: int
    people: int
    sessions: int
    addresses: int
    first: datetime
    newest: datetime
    is_capped: bool


def read(failures: QuerySet[RoutingFailure], most: int | None = None) -> Extent | None:
    """Return how far `failures` reach, counting `most` of them (`MAX_COUNT`); None if there are none."""
    most = most or MAX_COUNT
    rows = failures.order_by("-occurred_at").values("occurred_at", "user_id", "session_id", "address")
    found = rows[:most].aggregate(
        count=Count("occurred_at"),
        people=Count("user_id", distinct=True, filter=~Q(user_id="")),
        sessions=Count("session_id", distinct=True, filter=~Q(session_id="")),
        addresses=Count("address", distinct=True, filter=~Q(address="")),
        first=Min("occurred_at"),
        newest=Max("occurred_at"),
    )
    if not found["count"]:
        return None
    first = found["first"]
    if found["count"] == most:
        first = failures.order_by("occurred_at").values_list("occurred_at", flat=True).first() or first
    return Extent(**found | {"first": first}, is_capped=first < found["first"])
