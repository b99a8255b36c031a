"""What failed in the last 24 hours, by category, by code and by hour: drawn above the failure list.

One aggregate query, answered by the index that begins with the time; its figures are kept for ten seconds.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from django.core.cache import cache
from django.db.models import Count, Func, IntegerField
from django.utils import timezone
from django.utils.translation import gettext as _

from errors import periods
from errors.models import RoutingFailure
from errors.taxonomy import Category

log = logging.getLogger("errors.summary")

CACHE_S = 10  # seconds; however many people reload during an outage, the database counts six times a minute
_HOURS = 24
_CATEGORIES = tuple(category.value for category in Category)
_MAX_CODES = 8  # codes with a row of their own; the rest share one
_SLOT, _BAR, _HEIGHT = 20, 16, 100  # units of the chart's own: an hour, its bar, the tallest bar

Figure = tuple[int, str, str, int]  # hour since the window's begin (0 to 23), category, code, failures


@dataclass(frozen=True, slots=True)
class Row:
    """One category, or one code.

    Attributes:
        category: Whose colour the bar has; empty for the row of all other codes.
        share: Percent of all failures.
        bar: Percent of the longest bar.
        query: Leads to the list of these failures; empty where there is no such list.
    """

    label: str
    category: str
    count: int
    share: float
    bar: float
    query: str


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
    count: int
    since: datetime
    categories: Sequence[Row]
    codes: Sequence[Row]
    hours: Sequence[Hour]
    peak: Hour
    width: int = _HOURS * _SLOT
    height: int = _HEIGHT
    slot: int = _SLOT
    bar: int = _BAR


class HoursSince(Func):
    """Whole hours from `origin` to a time. One number is the same in every time zone, and costs no call into Python
    per row, as TruncHour does on SQLite.
    """

    output_field = IntegerField()
    template = "CAST(FLOOR((EXTRACT(EPOCH FROM %(expressions)s) - %(origin)s) / 3600) AS integer)"

    def __init__(self, expression: str, origin: datetime) -> None:
        super().__init__(expression, origin=int(origin.timestamp()))

    def as_sqlite(self, compiler: Any, connection: Any, **extra: Any) -> Any:
        # Two percent signs are one: the text is formatted here, and once more by the database driver.
        template = "((strftime('%%%%s', %(expressions)s) - %(origin)s) / 3600)"
        return self.as_sql(compiler, connection, template=template, **extra)


def read(now: datetime) -> Summary | None:
    """Return the summary of the 24 hours up to `now`; None where it cannot be had: the list comes up without it."""
    window = periods.last_day(now)
    key = f"errors.summary.{window.begin:%Y%m%d%H%M}"
    try:
        figures: list[Figure] = cache.get_or_set(key, lambda: _count(window), CACHE_S) or []
    except Exception as exc:
        # A statement timeout, a cache that is away: the list below is what matters on such a day.
        log.warning("the summary of failures could not be read: %s", type(exc).__name__)
        return None
    return _draw(window, figures)


def _count(window: periods.Period) -> list[Figure]:
    rows = (
        RoutingFailure.objects.filter(occurred_at__gte=window.begin, occurred_at__lt=window.end)
        .order_by()
        .values_list(HoursSince("occurred_at", window.begin), "category", "code")
        .annotate(count=Count("*"))
    )
    return list(rows)


def _draw(window: periods.Period, figures: list[Figure]) -> Summary:
    categories: Counter[str] = Counter()
    codes: Counter[tuple[str, str]] = Counter()
    hours: Counter[int] = Counter()
    parts: Counter[tuple[int, str]] = Counter()
    for hour, category, code, count in figures:
        categories[category] += count
        codes[code, category] += count
        hours[hour] += count
        parts[hour, category] += count
    total, tallest = hours.total(), max(hours.values(), default=0)
    drawn = [_hour(window.begin, hour, parts, tallest) for hour in range(_HOURS)]
    return Summary(
        count=total,
        since=timezone.localtime(window.begin),
        # All categories, always in the same order: what is missing would have to be looked for.
        categories=_rows("category", [(word, word, categories[word]) for word in _CATEGORIES], total),
        codes=_rows(
            "code", [(code, category, count) for (code, category), count in codes.most_common(_MAX_CODES)], total
        ),
        hours=drawn,
        peak=max(drawn, key=lambda hour: hour.count),
    )


def _rows(parameter: str, counts: list[tuple[str, str, int]], total: int) -> list[Row]:
    """Return a row for each (value, category, count), and one for what they leave of `total`."""
    longest = max((count for _, _, count in counts), default=0) or 1
    rows = [
        Row(
            label=value.replace("_", " ") if parameter == "category" else value,
            category=category,
            count=count,
            share=100 * count / (total or 1),
            bar=100 * count / longest,
            query=f"?{urlencode({parameter: value, 'when': periods.LAST_DAY})}",
        )
        for value, category, count in counts
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
