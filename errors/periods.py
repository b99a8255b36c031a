"""The stretches of time that staff narrow the failure list to: the last minutes, hours and days, and the calendar.

Computed from the calendar in the current time zone, so that offering them asks the database nothing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _

from errors import conf

LAST_DAY = "24h"
RECENT = ("15m", "1h", LAST_DAY, "7d")  # those that end now, shortest first

_SKEW = timedelta(minutes=1)  # by which another process's clock may be ahead
_MAX_MONTHS = 12
_WORD = re.compile(r"(\d{4})-(\d\d)(?:-(\d\d)(?:T(\d\d))?)?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Period:
    """From `begin` up to, not including, `end`.

    Attributes:
        word: As it stands in an address: one of RECENT, "2026-11", "2026-11-23" or "2026-11-23T14".
        label: For people, on its own.
        short: For people, below the label of the period around it.
    """

    word: str
    label: str
    short: str
    begin: datetime
    end: datetime


def read(word: str, now: datetime) -> Period | None:
    """Return the period that `word` names, or None if it names none."""
    if word in RECENT:
        return _recent(word, now)
    match = _WORD.fullmatch(word)
    if match is None:
        return None
    try:
        return _calendar_period(*(int(part) for part in match.groups() if part is not None))
    except (ValueError, OverflowError):
        return None


def last_day(now: datetime) -> Period:
    """Return this hour and the 23 before it: whole hours, so that they can be counted one by one."""
    this_hour = timezone.localtime(now).replace(minute=0, second=0, microsecond=0).astimezone(UTC)
    label = _("this hour and the 23 before")
    return Period(LAST_DAY, label, label, this_hour - timedelta(hours=23), this_hour + timedelta(hours=1))


def _recent(word: str, now: datetime) -> Period:
    if word == LAST_DAY:
        return last_day(now)
    length, label = {
        "15m": (timedelta(minutes=15), _("the last 15 minutes")),
        "1h": (timedelta(hours=1), _("the last hour")),
        "7d": (timedelta(days=7), _("the last 7 days")),
    }[word]
    return Period(word, label, label, now - length, now + _SKEW)


def hour_of(moment: datetime) -> Period:
    local = timezone.localtime(moment)
    return _calendar_period(local.year, local.month, local.day, local.hour)


def around(period: Period | None) -> list[Period]:
    """Return what `period` lies in, widest first: the month of a day, the month and the day of an hour."""
    if period is None or period.word in RECENT:
        return []
    words = [period.word[:7], period.word[:10]]
    found = [read(word, period.begin) for word in words if len(word) < len(period.word)]
    return [outer for outer in found if outer is not None]


def steps(period: Period | None, now: datetime) -> list[Period]:
    """Return what can be chosen next: months, the days of a month, the hours of a day. None of them lies ahead."""
    if period is None or period.word in RECENT:
        return _months(now)
    outer = (around(period) or [period])[-1] if "T" in period.word else period
    if len(outer.word) == len("2026-11"):
        numbered = [f"{outer.word}-{day:02}" for day in range(1, 32)]
    else:
        numbered = [f"{outer.word}T{hour:02}" for hour in range(24)]
    found = [read(word, now) for word in numbered]
    # A day that the month lacks reads as None; an hour that the clocks skip is empty.
    return [inner for inner in found if inner is not None and inner.begin <= now and inner.begin < inner.end]


def _months(now: datetime) -> list[Period]:
    """Those of which rows may be left: what is older than the retention has been pruned."""
    local, oldest = timezone.localtime(now), now - timedelta(days=conf.errors().retention_days)
    newest = local.year * 12 + local.month - 1
    months = [_calendar_period(number // 12, number % 12 + 1) for number in range(newest, newest - _MAX_MONTHS, -1)]
    return [month for month in months if month.end > oldest]


def _calendar_period(year: int, month: int, day: int | None = None, hour: int | None = None) -> Period:
    """Raises ValueError or OverflowError where the calendar has no such period."""
    # Wall clocks without a zone: _utc adds it last, so that a day is a day where the clocks change too.
    begin = datetime(year, month, 1 if day is None else day, 0 if hour is None else hour)  # noqa: DTZ001
    word = f"{year:04}-{month:02}"
    if day is None:
        end = datetime(year + month // 12, month % 12 + 1, 1)  # noqa: DTZ001
        label, short = date_format(begin, "F Y"), date_format(begin, "M Y")
    elif hour is None:
        end = begin + timedelta(days=1)
        word, label, short = f"{word}-{day:02}", date_format(begin, "j F Y"), str(day)
    else:
        end = begin + timedelta(hours=1)
        word, short = f"{word}-{day:02}T{hour:02}", f"{hour:02}"
        label = f"{date_format(begin, 'j F Y')}, {begin:%H:%M} to {end:%H:%M}"
    return Period(word, label, short, _utc(begin), _utc(end))


def _utc(wall_clock: datetime) -> datetime:
    return wall_clock.replace(tzinfo=timezone.get_current_timezone()).astimezone(UTC)
