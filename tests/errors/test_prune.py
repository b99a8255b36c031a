"""`manage.py prune_failures`."""

from __future__ import annotations

from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from errors.management.commands import prune_failures
from errors.models import RoutingFailure
from tests.errors.stored import store

pytestmark = pytest.mark.django_db


def prune(*args: str) -> str:
    out = StringIO()
    call_command("prune_failures", *args, stdout=out, no_color=True)
    return out.getvalue()


class TestPruneFailures:
    def test_deletes_what_is_older_than_the_setting(self, settings: Any) -> None:
        settings.ERRORS = {"retention_days": 10}
        kept = store(ago=timedelta(days=9, hours=23))
        store(ago=timedelta(days=10, minutes=1))
        assert prune() == "1 failure older than 10 days deleted.\n"
        assert list(RoutingFailure.objects.all()) == [kept]

    def test_takes_another_age(self) -> None:
        store(ago=timedelta(days=3))
        store(ago=timedelta(days=3))
        assert prune("--days", "2") == "2 failures older than 2 days deleted.\n"
        assert prune("--days=2") == "0 failures older than 2 days deleted.\n"

    def test_only_counts_in_a_dry_run(self) -> None:
        store(ago=timedelta(days=400))
        assert prune("--dry-run") == "1 failure older than 30 days would be deleted.\n"
        assert RoutingFailure.objects.count() == 1

    def test_deletes_the_oldest_first_in_small_transactions(
        self, monkeypatch: pytest.MonkeyPatch, django_assert_num_queries: Any
    ) -> None:
        monkeypatch.setattr(prune_failures, "_BATCH", 2)
        monkeypatch.setattr(prune_failures, "_REPORT_EVERY", 2)
        for day in range(5):
            store(ago=timedelta(days=50 + day))
        with django_assert_num_queries(3):
            text = prune()
        assert text == "2 deleted so far\n4 deleted so far\n5 failures older than 30 days deleted.\n"

    @pytest.mark.parametrize("days", ["0", "-1", "1.5", "many", "", "99999999999"])
    def test_refuses_a_wrong_age_in_one_line(self, days: str) -> None:
        store(ago=timedelta(days=400))
        with pytest.raises(CommandError) as refusal:
            prune(f"--days={days}")
        assert str(refusal.value) == f"--days is {days!r}: it must be a whole number from 1 to 36500."
        assert RoutingFailure.objects.count() == 1
