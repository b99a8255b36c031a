"""`manage.py prune_failures`: deletes stored failures that have passed their age. For cron, once a day."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import router
from django.db.models import QuerySet
from django.utils import timezone

from errors import conf
from errors.models import RoutingFailure

_BATCH = 1_000  # rows of one transaction: 0.2 s of SQLite's only write lock, for which others wait 2 s at most
_PAUSE_S = 0.05  # seconds between two of them, in which those who wait for the lock get it
_REPORT_EVERY = 10_000  # rows
_MAX_DAYS = 36_500  # days; further back the calendar ends


class Command(BaseCommand):
    help = "Deletes failures older than ERRORS['retention_days'], in small transactions."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--days", help="days to keep instead of ERRORS['retention_days']; at least 1")
        parser.add_argument("--dry-run", action="store_true", help="only say how many would be deleted")

    def handle(self, *args: Any, **options: Any) -> None:
        days = _read_days(options["days"])
        alias = router.db_for_write(RoutingFailure)
        limit = timezone.now() - timedelta(days=days)
        old = RoutingFailure.objects.using(alias).filter(occurred_at__lt=limit).order_by()
        if options["dry_run"]:
            self.stdout.write(f"{_counted(old.count())} older than {days} days would be deleted.")
            return
        deleted = 0
        while True:
            batch = _delete(old)
            deleted += batch
            if batch < _BATCH:
                break
            if deleted % _REPORT_EVERY == 0:
                self.stdout.write(f"{deleted} deleted so far")
            time.sleep(_PAUSE_S)
        self.stdout.write(self.style.SUCCESS(f"{_counted(deleted)} older than {days} days deleted."))


def _delete(old: QuerySet[RoutingFailure]) -> int:
    """Delete the oldest batch, in a transaction of its own; return its number of rows."""
    keys = old.order_by("occurred_at").values("pk")[:_BATCH]
    deleted, _ = RoutingFailure.objects.using(old.db).filter(pk__in=keys).delete()
    return deleted


def _read_days(given: str | int | None) -> int:
    if given is None:
        return conf.errors().retention_days
    try:
        days = int(given)
    except ValueError:
        days = 0
    if not 1 <= days <= _MAX_DAYS:
        raise CommandError(f"--days is {str(given)!r}: it must be a whole number from 1 to {_MAX_DAYS}.")
    return days


def _counted(number: int) -> str:
    return f"{number} failure{'' if number == 1 else 's'}"
