"""The front page of the admin: from a quoted reference straight to the failure, and the last 24 hours in figures."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.core.cache import cache
from django.test import Client

from tests.errors.stored import LIST, page, references, staff, store, words

HOME = "/admin/"
LOOKUP = f"{LIST}lookup/"

pytestmark = pytest.mark.django_db


@pytest.fixture
def carol() -> Client:
    return staff("carol")


class TestLookup:
    @pytest.mark.parametrize(
        "quoted",
        ["E-7KQ4-M2X0", "e-7kq4-m2x0", "E7KQ4M2X0", "7kq4m2x0", "7KQ4-M2XO", " e 7kq4 m2xo ", "E–7KQ4–M2X0",
         "Reference E-7KQ4-M2X0", "my reference is e-7kq4-m2xo.", "Reference: E-7KQ4-M2X0\r\nthanks", "7KQ4M2X0\x00"],
    )  # fmt: skip
    def test_leads_straight_to_the_failure(self, carol: Client, quoted: str) -> None:
        failure = store(reference="E-7KQ4-M2X0")
        store()
        response = carol.get(LOOKUP, {"q": quoted})
        assert (response.status_code, response["Location"]) == (302, page(failure))

    def test_finds_by_session_connection_and_user_too(self, carol: Client) -> None:
        bob = get_user_model().objects.create_user("bob")
        failure = store(session_id="s-1", connection_id="c-1", user_id=str(bob.pk))
        for quoted in ("s-1", "c-1", "bob"):
            assert carol.get(LOOKUP, {"q": quoted})["Location"] == page(failure)

    def test_shows_all_that_match_and_says_so(self, carol: Client) -> None:
        old = store(reference="E-7KQ4-M2X0", ago=timedelta(minutes=1))
        new = store(reference="E-7KQ4-M2X0")
        response = carol.get(LOOKUP, {"q": "7kq4m2x0"}, follow=True)
        assert references(response) == [new.reference, old.reference]
        assert "More than one failure matches." in words(response.content.decode())

    @pytest.mark.parametrize(
        "quoted", ["E-0000-0000", "nobody", "%", "<img src=x onerror=alert(1)>", "x" * 5_000, "💥"]
    )
    def test_is_kind_where_there_is_none(self, carol: Client, quoted: str) -> None:
        store()
        response = carol.get(LOOKUP, {"q": quoted}, follow=True)
        html = response.content.decode()
        assert response.status_code == 200
        assert "No failure found for" in words(html)
        assert "one older than 30 days may have been deleted" in words(html)
        assert "<img src=x" not in html

    @pytest.mark.parametrize("query", [{}, {"q": ""}, {"q": " \t "}, {"q": "\x00"}])
    def test_asks_for_a_reference_where_nothing_was_typed(self, carol: Client, query: dict[str, str]) -> None:
        response = carol.get(LOOKUP, query, follow=True)
        assert response.redirect_chain == [(LIST, 302)]
        assert "Type or paste a reference to look it up." in words(response.content.decode())

    def test_is_for_those_who_may_see_failures(self) -> None:
        store(reference="E-7KQ4-M2X0")
        alice = Client()
        alice.force_login(get_user_model().objects.create_user("alice"))
        for client, status in ((Client(), 302), (alice, 302), (staff("mallory", may_view=False), 403)):
            response = client.get(LOOKUP, {"q": "E-7KQ4-M2X0"})
            assert response.status_code == status
            assert "/login/" in response.get("Location", "/login/")


class TestFrontPage:
    def test_asks_for_the_reference_that_somebody_quoted(self, carol: Client) -> None:
        html = carol.get(HOME).content.decode()
        assert f'<form action="{LOOKUP}" method="get"' in html
        assert 'for="failure-lookup"' in html
        assert "Did somebody quote a reference?" in words(html)

    def test_shows_the_figures_of_the_last_24_hours(self, carol: Client) -> None:
        for code, ago in (("LLM_TIMEOUT", 0), ("LLM_TIMEOUT", 1), ("TOO_MANY_REQUESTS", 2), ("LLM_TIMEOUT", 30)):
            store(code, ago=timedelta(hours=ago))
        html = carol.get(HOME).content.decode()
        text = words(html)
        assert "3 failures , most in the hour" in text
        assert "service 2 rate limit 1" in text
        assert f'href="{LIST}?when=24h"' in html
        assert len(references(carol.get(f"{LIST}?category=service&when=24h"))) == 2

    def test_names_the_causes_that_weigh_most_and_when_they_were_last_seen(self, carol: Client) -> None:
        for number in range(5):
            for _ in range(number + 1):
                store(fingerprint=f"f{number}", cause=f"OSError: no. {number}", ago=timedelta(minutes=90))
        html = carol.get(HOME).content.decode()
        said = "OSError: no. 4 5, 1 hour ago OSError: no. 3 4, 1 hour ago OSError: no. 2 3, 1 hour ago"
        assert f"Most frequent causes {said}" in words(html)
        assert "no. 1" not in html
        assert f'href="{LIST}?fingerprint=f4&amp;when=24h"' in html

    def test_says_so_when_there_is_nothing(self, carol: Client) -> None:
        text = words(carol.get(HOME).content.decode())
        assert re.search(r"This hour and the 23 before No failures since (yesterday )?\d\d:00 UTC\.", text)

    def test_comes_up_without_figures_when_they_cannot_be_had(
        self, carol: Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("errors.summary._count", lambda window: 1 / 0)
        assert "The figures could not be read in time." in words(carol.get(HOME).content.decode())

    def test_shows_nothing_of_failures_to_those_who_may_not_see_them(self) -> None:
        store("LLM_TIMEOUT")
        html = staff("mallory", may_view=False).get(HOME).content.decode()
        assert LOOKUP not in html
        assert "This hour and the 23 before" not in html

    def test_costs_the_same_with_a_hundred_failures(self, carol: Client, django_assert_num_queries: Any) -> None:
        for rows in (1, 99):
            for _ in range(rows):
                store()
            cache.clear()
            # login session, user, two for permissions, the figures, the words of the causes, the recent actions
            with django_assert_num_queries(7):
                carol.get(HOME)
