"""Failures from one address: typed, linked, and looked for in a bounded number of rows, since no index has it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client

from errors import search
from tests.errors.stored import LIST, page, references, staff, store, words

VISITOR, SITE = "203.0.113.7", "2001:db8:1:2::/64"
LOOKUP = f"{LIST}lookup/"

pytestmark = pytest.mark.django_db


@pytest.fixture
def carol() -> Client:
    return staff("carol")


class TestAddress:
    @pytest.mark.parametrize(
        ("typed", "address"),
        [
            (VISITOR, VISITOR),
            (f" {VISITOR} ", VISITOR),
            (f"::ffff:{VISITOR}", VISITOR),
            (SITE, SITE),
            ("2001:0DB8:1:2::5", SITE),
            ("2001:db8:1:2:3:4:5:6", SITE),
            ("42", None),
            ("E-7KQ4-M2X0", None),
            ("203.0.113", None),
            ("203.0.113.7.8", None),
            ("", None),
            ("\x00", None),
            ("٢٠٣.0.113.7", None),
        ],
    )
    def test_is_read_as_a_record_has_it(self, typed: str, address: str | None) -> None:
        assert search.address(typed) == address


class TestSearch:
    @pytest.mark.parametrize(("typed", "kept"), [(VISITOR, VISITOR), ("2001:db8:1:2::99", SITE)])
    def test_finds_what_came_from_an_address(self, carol: Client, typed: str, kept: str) -> None:
        wanted = store(address=kept)
        store(address="203.0.113.70")
        for address in (LIST, LOOKUP):
            response = carol.get(address, {"q": typed}, follow=True)
            assert references(response) == [wanted.reference]
            assert f"address: {kept}" in words(response.content.decode())

    def test_keeps_the_time_and_the_other_filters(self, carol: Client) -> None:
        wanted = store("LLM_TIMEOUT", address=VISITOR)
        store("SERVER_BUSY", address=VISITOR)
        store("LLM_TIMEOUT", address=VISITOR, ago=timedelta(hours=2))
        response = carol.get(LIST, {"q": VISITOR, "when": "1h", "code": "LLM_TIMEOUT", "p": "1"}, follow=True)
        assert references(response) == [wanted.reference]

    def test_looks_through_the_newest_only_and_says_so(self, carol: Client, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(search, "MAX_SEARCHED", 3)
        far = store("LLM_TIMEOUT", address=VISITOR, ago=timedelta(hours=9))
        near = store("LLM_TIMEOUT", address=VISITOR, ago=timedelta(minutes=2))
        reached = [store(ago=timedelta(minutes=minutes)) for minutes in (1, 3)][-1]
        response = carol.get(LIST, {"address": VISITOR})
        assert references(response) == [near.reference]
        said = f"The newest 3 failures were looked through, back to {reached.occurred_at:%Y-%m-%d %H:%M:%S}:"
        assert said in words(response.content.decode())
        # What the other filters leave is what counts.
        response = carol.get(LIST, {"address": VISITOR, "code": "LLM_TIMEOUT"})
        assert references(response) == [near.reference, far.reference]
        assert "looked through" not in words(response.content.decode())

    @pytest.mark.parametrize("name", ["ref", "reply_id"])
    def test_other_facts_without_an_index_are_bounded_too(
        self, carol: Client, monkeypatch: pytest.MonkeyPatch, name: str
    ) -> None:
        monkeypatch.setattr(search, "MAX_SEARCHED", 2)
        far, near = store(**{name: "x"}, ago=timedelta(hours=1)), store(**{name: "x"})
        store(session_id="another", ago=timedelta(minutes=1))
        response = carol.get(LIST, {name: "x"})
        assert references(response) == [near.reference]
        assert "The newest 2 failures were looked through" in words(response.content.decode())
        # As the page of a failure links it.
        assert references(carol.get(LIST, {name: "x", "session_id": far.session_id})) == [near.reference, far.reference]

    def test_is_bounded_for_an_export_too(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(search, "MAX_SEARCHED", 1)
        root = staff("root", is_superuser=True)
        far, near = store(address=VISITOR, ago=timedelta(hours=1)), store(address=VISITOR)
        csv = root.get(f"{LIST}export/", {"address": VISITOR}).getvalue().decode()  # type: ignore[attr-defined]
        assert near.reference in csv
        assert far.reference not in csv

    def test_refuses_what_no_row_can_hold(self, carol: Client) -> None:
        assert carol.get(LIST, {"address": "\x00"}).status_code == 302


class TestLinks:
    def test_lead_from_a_failure_to_those_from_there_on_that_day(self, carol: Client) -> None:
        failure = store(address=VISITOR, ago=timedelta(days=3))
        store(address=VISITOR)
        query = f"address={VISITOR}&amp;when={failure.occurred_at:%Y-%m-%d}"
        assert f'href="{LIST}?{query}"' in carol.get(page(failure)).content.decode()
        assert references(carol.get(f"{LIST}?{query.replace('&amp;', '&')}")) == [failure.reference]

    def test_stand_in_the_list_where_nobody_was_signed_in(self, carol: Client) -> None:
        """A refused handshake has nothing else that tells who it was."""
        store("UNAUTHORIZED", user_id="", address=VISITOR)
        store("LLM_TIMEOUT", user_id="7", address="203.0.113.8")
        table = carol.get(LIST).content.decode().split('id="result_list"')[1]
        assert VISITOR in words(table)
        assert "203.0.113.8" not in table

    def test_show_nothing_where_there_is_no_address(self, carol: Client) -> None:
        assert "Address" not in words(carol.get(page(store())).content.decode())


def test_costs_the_list_three_queries_more(carol: Client, django_assert_max_num_queries: Any) -> None:
    store(address=VISITOR)
    carol.get(LIST, {"when": "24h"})
    with django_assert_max_num_queries(10):
        carol.get(LIST, {"address": VISITOR, "when": "24h"})
