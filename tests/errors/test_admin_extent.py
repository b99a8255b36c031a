"""What a narrowed failure list says first: since when, until when, and how many people."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client

from errors import extent
from errors.models import RoutingFailure
from tests.errors.stored import LIST, staff, store, words

pytestmark = pytest.mark.django_db


@pytest.fixture
def carol() -> Client:
    return staff("carol")


def text(client: Client, **query: str) -> str:
    return words(client.get(LIST, query).content.decode())


class TestExtent:
    def test_tells_how_many_people_and_whether_it_is_over(self, carol: Client) -> None:
        for user, hours, address in (("1", 50, "203.0.113.1"), ("1", 4, "203.0.113.1"), ("2", 3, ""), ("", 3, "")):
            store("LLM_TIMEOUT", user_id=user, session_id=f"s{user}", ago=timedelta(hours=hours), address=address)
        store("SERVER_BUSY", user_id="3")
        shown = text(carol, code="LLM_TIMEOUT")
        assert "Failures 4 People 2 Sessions 3 Addresses 1 First 2 days ago" in shown
        assert "Newest 3 hours ago" in shown

    @pytest.mark.parametrize("query", [{"q": "session-of-alice"}, {"user_id": "1"}, {"when": "24h"}])
    def test_is_of_every_narrowed_list(self, carol: Client, query: dict[str, str]) -> None:
        store()
        assert "Failures 1 People 1 Sessions 1 First just now" in text(carol, **query)

    def test_leaves_the_whole_list_and_an_empty_one_alone(self, carol: Client) -> None:
        store()
        assert "People" not in text(carol)
        assert "People" not in text(carol, code="SERVER_BUSY")

    def test_counts_people_in_the_newest_only_but_finds_the_first(
        self, carol: Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(extent, "MAX_COUNT", 2)
        for days in range(4):
            store(user_id=str(days), ago=timedelta(days=days))
        shown = text(carol, code="LLM_UNAVAILABLE")
        assert "Failures 2+ People 2+ Sessions 1+ First 3 days ago" in shown
        assert "are counted in the newest 2." in shown

    def test_of_none_is_none(self) -> None:
        assert extent.read(RoutingFailure.objects.all()) is None


class TestCauseSince:
    def test_tells_when_a_cause_was_first_seen_where_a_filter_hides_that(self, carol: Client) -> None:
        """The links of the summary narrow to a day; a cause may be older than that."""
        for days in (9, 0):
            store(fingerprint="aaaa", ago=timedelta(days=days))
        assert "First with this cause 1 week ago" in text(carol, fingerprint="aaaa", when="24h")
        assert "First with this cause" not in text(carol, fingerprint="aaaa")
        assert "First with this cause" not in text(carol, when="24h")


class TestCost:
    def test_is_two_queries_more_however_many_rows(self, carol: Client, django_assert_num_queries: Any) -> None:
        for number in range(30):
            store(user_id=str(number))
        carol.get(LIST, {"fingerprint": "0123456789abcdef"})
        failures = RoutingFailure.objects.filter(fingerprint="0123456789abcdef")
        with django_assert_num_queries(1):
            assert extent.read(failures) is not None
        with django_assert_num_queries(2):
            assert extent.read(failures, 5) is not None
