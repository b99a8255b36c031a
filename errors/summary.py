"""What failed in the last 24 hours, by category, code, cause and hour: drawn above the failure list.

One query, answered by the index that begins with the time, and where causes are shown one more for their words; both
are kept for ten seconds. A list that is narrowed to a category, a code or a cause has the figures of just that, picked
out of the same ones.
"""

from __future__ import annotations

import hashlib
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from django.core.cache import cache
from django.db.models import Count, IntegerField, Max, QuerySet, Value
from django.utils import timezone
from django.utils.translation import gettext as _

from errors import causes, periods
from errors.models import RoutingFailure
from errors.taxonomy import Category

log = logging.getLogger("errors.summary")

CACHE_S = 10  # seconds; however many people reload during an outage, the database counts six times a minute
_HOURS = 24
_CATEGORIES = tuple(category.value for category in Category)
_MAX_CODES = 7  # codes with a row of their own; the rest share one
_MAX_CAUSES = 7
_SLOT, _BAR, _HEIGHT = 20, 16, 100  # units of the chart's own: an hour, its bar, the tallest bar

# Hour since the window's begin (0 to 23), category, code, fingerprint, failures, the time of the newest.
Figure = tuple[int, str, str, str, int, datetime]
NARROWING = {"category": 1, "code": 2, "fingerprint": 3}  # parameters of the list -> their place in a figure


@dataclass(frozen=True, slots=True)
class Row:
    """One category, one code, or one cause.

    Attributes:
        category: Whose colour the bar has; empty for the row of all other codes.
        share: Percent of all failures.
        bar: Percent of the longest bar.
        query: Leads to the list of these failures; empty where there is no such list.
        newest: When the newest of one cause happened; None for the other rows.
    """

    label: str
    category: str
    count: int
    share: float
    bar: float
    query: str
    newest: datetime | None = None


@dataclass(frozen=True, slots=True)
class Part:
    """One category's piece of an hour's bar, in units of the chart."""

    category: str
    y: float
    height: float


@dataclass(frozen=True, slots=True)
class Hour:
    begin: datetime
    label: str
    count: int
    by_category: Sequence[int]
    parts: Sequence[Part]
    x: int
    query: str


@dataclass(frozen=True, slots=True)
class Summary:
    """The figures of one day; `codes` and `causes` are empty where all failures have the same.

    Attributes:
        whole: Failures of that day, also those that the list leaves out.
    """

    count: int
    whole: int
    since: str  # "yesterday 10:00 UTC": at 09:07, ten o'clock alone would lie ahead
    categories: Sequence[Row]
    codes: Sequence[Row]
    causes: Sequence[Row]
    hours: Sequence[Hour]
    peak: Hour
    width: int = _HOURS * _SLOT
    height: int = _HEIGHT
    slot: int = _SLOT
    bar: int = _BAR


def read(now: datetime, *, with_causes: bool = False, only: Mapping[str, str] | None = None) -> Summary | None:
    """Return the summary of the 24 hours up to `now`; None where it cannot be had: the list comes up without it.

    Args:
        only: Values of `NARROWING` that every failure counted has.
    """
    only = only or {}
    window = periods.last_day(now)
    key = f"errors.summary3.{window.begin:%Y%m%d%H%M}"
    try:
        figures: list[Figure] = cache.get_or_set(key, lambda: _count(window), CACHE_S) or []
        whole = sum(figure[4] for figure in figures)
        figures = [figure for figure in figures if all(figure[NARROWING[name]] == only[name] for name in only)]
        words: dict[str, str] = {}
        if with_causes and figures and "fingerprint" not in only:
            words = cache.get_or_set(f"{key}.{_digest(only)}", lambda: _words(figures), CACHE_S) or {}
    except Exception as exc:
        # A statement timeout, a cache that is away: the list below is what matters on such a day.
        log.warning("the summary of failures could not be read: %s", type(exc).__name__)
        return None
    return _draw(window, figures, words, whole, has_codes=only.keys() <= {"category"})


def _digest(only: Mapping[str, str]) -> str:
    """`only` as part of a key: what stands in an address may be no key, or a long one."""
    return hashlib.blake2s(repr(sorted(only.items())).encode("utf-8", "backslashreplace"), digest_size=8).hexdigest()


def _count(window: periods.Period) -> list[Figure]:
    """Hour by hour in one statement: grouping by an hour that is computed for each row took three times as long."""
    first, *others = (_count_hour(window.begin, hour) for hour in range(_HOURS))
    return list(first.union(*others, all=True))


def _count_hour(origin: datetime, hour: int) -> QuerySet[RoutingFailure, Any]:
    begin = origin + timedelta(hours=hour)
    return (
        RoutingFailure.objects.filter(occurred_at__gte=begin, occurred_at__lt=begin + timedelta(hours=1))
        .order_by()
        # Grouped by the fingerprint first, which tells most rows apart at once.
        .values("fingerprint", "code", "category")
        .annotate(hour=Value(hour, output_field=IntegerField()), count=Count("*"), newest=Max("occurred_at"))
        .values_list("hour", "category", "code", "fingerprint", "count", "newest")
    )


def _words(figures: list[Figure]) -> dict[str, str]:
    """Return what the most frequent causes are called, by fingerprint, the most frequent first."""
    counts: Counter[str] = Counter()
    newest: dict[str, datetime] = {}
    for _hour, _category, _code, fingerprint, count, moment in figures:
        counts[fingerprint] += count
        newest[fingerprint] = max(moment, newest.get(fingerprint, moment))
    return causes.words({fingerprint: newest[fingerprint] for fingerprint, _count in counts.most_common(_MAX_CAUSES)})


def _draw(
    window: periods.Period, figures: list[Figure], words: Mapping[str, str], whole: int, *, has_codes: bool
) -> Summary:
    categories: Counter[str] = Counter()
    codes: Counter[tuple[str, str]] = Counter()
    by_cause: Counter[str] = Counter()
    colours: dict[str, str] = {}  # fingerprint -> category: a cause has one code
    last: dict[str, datetime] = {}  # fingerprint -> time of the newest
    hours: Counter[int] = Counter()
    parts: Counter[tuple[int, str]] = Counter()
    for hour, category, code, fingerprint, count, newest in figures:
        categories[category] += count
        codes[code, category] += count
        by_cause[fingerprint] += count
        colours[fingerprint] = category
        last[fingerprint] = max(newest, last.get(fingerprint, newest))
        hours[hour] += count
        parts[hour, category] += count
    total, tallest = hours.total(), max(hours.values(), default=0)
    named = [((cause, colours[cause]), count) for cause, count in by_cause.most_common() if cause in words]
    drawn = [_hour(window.begin, hour, parts, tallest) for hour in range(_HOURS)]
    return Summary(
        count=total,
        whole=whole,
        since=_moment(window),
        # All categories, always in the same order: what is missing would have to be looked for.
        categories=_rows("category", [((word, word), categories[word]) for word in _CATEGORIES], total),
        codes=_rows("code", codes.most_common(_MAX_CODES), total) if has_codes else (),
        causes=_rows("fingerprint", named, total, words, last) if words else (),
        hours=drawn,
        peak=max(drawn, key=lambda hour: hour.count),
    )


def _moment(window: periods.Period) -> str:
    begin, end = timezone.localtime(window.begin), timezone.localtime(window.end - timedelta(hours=1))
    time = f"{begin:%H:%M} {begin.tzname()}"
    return time if begin.date() == end.date() else _("yesterday %(time)s") % {"time": time}


def _rows(
    parameter: str,
    counts: Sequence[tuple[tuple[str, str], int]],
    total: int,
    labels: Mapping[str, str] | None = None,
    newest: Mapping[str, datetime] | None = None,
) -> list[Row]:
    """Return a row for each (value, category) and its count, and one for what they leave of `total`."""
    longest = max((count for _, count in counts), default=0) or 1
    rows = [
        Row(
            label=labels[value] if labels else value.replace("_", " ") if parameter == "category" else value,
            category=category,
            count=count,
            share=100 * count / (total or 1),
            bar=100 * count / longest,
            query=f"?{urlencode({parameter: value, 'when': periods.LAST_DAY})}",
            newest=newest[value] if newest else None,
        )
        for (value, category), count in counts
    ]
    if left := total - sum(row.count for row in rows):
        rows.append(Row(_("all others"), "", left, 100 * left / total, min(100, 100 * left / longest), ""))
    return rows


def _hour(origin: datetime, hour: int, counts: Counter[tuple[int, str]], tallest: int) -> Hour:
    begin = timezone.localtime(origin + timedelta(hours=hour))
    by_category = [counts[hour, category] for category in _CATEGORIES]
    parts: list[Part] = []
    top = float(_HEIGHT)
    for category, count in zip(_CATEGORIES, by_category, strict=True):
        if count:
            height = _HEIGHT * count / tallest
            top -= height
            parts.append(Part(category, round(top, 2), round(height, 2)))
    return Hour(
        begin=begin,
        label=f"{begin:%H:%M}",
        count=sum(by_category),
        by_category=by_category,
        parts=parts,
        x=hour * _SLOT,
        query=f"?{urlencode({'when': periods.hour_of(begin).word})}",
    )
