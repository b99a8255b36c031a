"""The failure list of the admin: who may see it, what it shows, how it is searched, and what it costs."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.core.cache import cache
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from errors import changelist
from errors.models import RoutingFailure
from tests.errors.stored import LIST, page, references, staff, store, words

pytestmark = pytest.mark.django_db


@pytest.fixture
def carol() -> Client:
    return staff("carol")


class TestAccess:
    def test_is_closed_to_people_who_are_no_staff(self) -> None:
        alice = Client()
        alice.force_login(get_user_model().objects.create_user("alice"))
        failure = store()
        for address in (LIST, page(failure)):
            response = alice.get(address)
            assert response.status_code == 302
            assert response["Location"].startswith("/admin/login/")

    def test_is_closed_to_staff_without_the_view_permission(self) -> None:
        mallory = staff("mallory", may_view=False)
        failure = store()
        assert mallory.get(LIST).status_code == 403
        assert mallory.get(page(failure)).status_code == 403
        assert "routing failure" not in mallory.get("/admin/").content.decode().lower()

    def test_is_read_only_even_for_a_superuser(self) -> None:
        root = staff("root", is_superuser=True)
        failure = store()
        before = RoutingFailure.objects.values().get()
        detail = page(failure)
        for address in (f"{LIST}add/", detail, detail.replace("/change/", "/delete/")):
            assert root.post(address, {"code": "X", "post": "yes", "_save": "Save"}).status_code == 403, address
        root.post(LIST, {"action": "delete_selected", "_selected_action": str(failure.pk), "post": "yes"})
        assert RoutingFailure.objects.values().get() == before
        history = root.get(detail.replace("/change/", "/history/"))  # Django's own address; nothing is changed
        assert (history.status_code, history["Location"]) == (302, detail)

    def test_offers_no_button_that_would_change_something(self) -> None:
        root = staff("root", is_superuser=True)
        for html in (root.get(LIST).content.decode(), root.get(page(store())).content.decode()):
            assert 'name="_save"' not in html
            assert "/add/" not in html.replace("/auth/user/add/", "").replace("/auth/group/add/", "")
            assert "/delete/" not in html
            assert 'name="action"' not in html


class TestList:
    def test_shows_the_facts_of_each_failure_newest_first(self, carol: Client) -> None:
        old = store("TOO_MANY_REQUESTS", ago=timedelta(minutes=5), user_id="7", stage="route")
        new = store("LLM_TIMEOUT", session_id="session-of-bob")
        response = carol.get(LIST)
        assert references(response) == [new.reference, old.reference]
        text = words(response.content.decode())
        for fact in ("LLM_TIMEOUT", "TOO_MANY_REQUESTS", "rate limit", "route", "user_message", "session-of-bob"):
            assert fact in text
        assert f"{old.occurred_at:%Y-%m-%d %H:%M:%S}" in text

    def test_shows_the_cause_of_each_failure_shortened(self, carol: Client) -> None:
        store(cause=f"django.db.utils.OperationalError: {'too many clients ' * 9}")
        store("TOO_MANY_REQUESTS", cause="<b>\u202e")
        table = carol.get(LIST).content.decode().split('id="result_list"')[1]
        assert "OperationalError: too many clients too many" in words(table)
        assert f">OperationalError: {('too many clients ' * 9)[:61]}…<" in table
        assert "&lt;b&gt;\\u202e" in table
        assert "TOO_MANY_REQUESTS rate limit" in words(table)

    def test_links_each_user_and_session_to_their_failures(self, carol: Client) -> None:
        of_alice, of_bob = store(user_id="alice&1"), store(user_id="bob", session_id="s 2")
        html = carol.get(LIST).content.decode()
        assert f'href="{LIST}?user_id=alice%261"' in html
        assert f'href="{LIST}?session_id=s+2"' in html
        assert references(carol.get(LIST, {"user_id": "alice&1"})) == [of_alice.reference]
        assert references(carol.get(LIST, {"session_id": "s 2"})) == [of_bob.reference]

    def test_names_the_users_by_one_query(self, carol: Client) -> None:
        users = get_user_model()
        names = [f"{name}@example.org" for name in ("alice", "bob")]
        keys = [str(users.objects.create_user(name).pk) for name in names]
        for key in (*keys, keys[0], "999999", "not-a-number", "9" * 200, "-1", ""):
            store(user_id=key)
        with CaptureQueriesContext(connection) as captured:
            html = carol.get(LIST).content.decode()
        table = html.split('id="result_list"')[1]
        assert f'href="{LIST}?user_id={keys[0]}" title="{names[0]} ({keys[0]})">{names[0]}</a>' in table
        assert names[1] in table
        for gone in ("999999", "not-a-number"):
            assert f'title="{gone}">{gone}</a>' in table
        by_key = [query["sql"] for query in captured.captured_queries if '"auth_user"."id" IN' in query["sql"]]
        assert len(by_key) == 1
        chips = words(carol.get(LIST, {"user_id": keys[0]}).content.decode())
        assert f"user: {names[0]} ({keys[0]})" in chips

    def test_says_so_when_there_is_nothing(self, carol: Client) -> None:
        text = words(carol.get(LIST).content.decode())
        assert re.search(r"No failures since (yesterday )?\d\d:00 UTC\.", text)
        assert "Nothing has gone wrong" in text

    def test_keeps_its_order_whatever_the_address_asks(self, carol: Client) -> None:
        first, second = store(stage="reply"), store(stage="connect")
        assert references(carol.get(LIST, {"o": "4.1"})) == [second.reference, first.reference]

    @pytest.mark.parametrize(
        "query", [{"traceback__contains": "x"}, {"user_id__icontains": "1"}, {"id__in": "1"}, {"utm_source": "x"}]
    )
    def test_refuses_lookups_that_could_read_the_whole_table(self, carol: Client, query: dict[str, str]) -> None:
        assert carol.get(LIST, query).status_code == 400

    def test_escapes_what_a_client_made_up(self, carol: Client) -> None:
        hostile = "</script><img src=x onerror=alert(1)>"
        store(session_id=hostile, user_id=hostile, message_type=hostile, code="LLM_TIMEOUT")
        for query in ({}, {"q": hostile}, {"session_id": hostile}, {"code": hostile}, {"q": f"{hostile} nobody"}):
            html = carol.get(LIST, query).content.decode()
            assert "<img src=x" not in html, query
            assert "&lt;img src=x" in html, query


class TestSearch:
    @pytest.mark.parametrize(
        "typed",
        ["E-7KQ4-M2X0", "e-7kq4-m2x0", "E7KQ4M2X0", "7kq4m2x0", "7KQ4-M2XO", " e 7kq4 m2xo ", "E–7KQ4–M2X0"],
    )
    def test_forgives_how_a_reference_is_typed(self, carol: Client, typed: str) -> None:
        store(reference="E-7KQ4-M2X0")
        store()
        assert references(carol.get(LIST, {"q": typed})) == ["E-7KQ4-M2X0"]

    def test_finds_a_session_a_connection_and_a_user_id(self, carol: Client) -> None:
        wanted = store(session_id="s-1", connection_id="c-1", user_id="42")
        store()
        for typed in ("s-1", "c-1", "42", "  42 "):
            assert references(carol.get(LIST, {"q": typed})) == [wanted.reference], typed

    def test_finds_a_user_by_exact_name(self, carol: Client) -> None:
        alice = get_user_model().objects.create_user("alice@example.org")
        wanted = store(user_id=str(alice.pk))
        store(user_id="someone-else")
        assert references(carol.get(LIST, {"q": "alice@example.org"})) == [wanted.reference]
        assert references(carol.get(LIST, {"q": "alice"})) == []

    def test_finds_everything_that_the_words_may_mean(self, carol: Client) -> None:
        found = {store(session_id="42").reference, store(user_id="42").reference}
        store()
        assert set(references(carol.get(LIST, {"q": "42"}))) == found

    def test_says_what_it_looked_for_and_points_out_the_filters(self, carol: Client) -> None:
        failure = store("LLM_TIMEOUT")
        response = carol.get(LIST, {"q": failure.reference, "code": "SERVICE_ERROR"})
        text = words(response.content.decode())
        assert f"No failure found for “{failure.reference}”" in text
        assert f"the reference {failure.reference}" in text
        assert "Search without them" in text
        assert references(carol.get(LIST + response.context["cl"].query_without_filters)) == [failure.reference]

    @pytest.mark.parametrize("typed", ["E-7KQ4-M2XZ", "8kq4m2x0", "7qk4-m2x0", "my reference is E-7KQ4-MZX0"])
    def test_offers_the_reference_that_was_misheard(self, carol: Client, typed: str) -> None:
        """Over the telephone a letter is easily another one; 2 and Z, or 7 and 8."""
        alice = get_user_model().objects.create_user("alice")
        failure = store("LLM_TIMEOUT", reference="E-7KQ4-M2X0", user_id=str(alice.pk))
        store(reference="E-7KQ4-8888")
        html = carol.get(LIST, {"q": typed}).content.decode()
        assert (
            "differ by one letter, or by two that changed places: E-7KQ4-M2X0 : LLM_TIMEOUT, alice, just now"
            in words(html)
        )
        assert f'href="{page(failure)}"' in html

    @pytest.mark.parametrize("typed", ["E-7KQ4-MXZ0", "nobody", "7KQ4M2X"])
    def test_offers_none_that_is_further_off(self, carol: Client, typed: str) -> None:
        store(reference="E-7KQ4-M2X0")
        assert "differ by" not in words(carol.get(LIST, {"q": typed}).content.decode())

    @pytest.mark.parametrize("typed", ["%", "_", "nobody", "\x00", "x" * 5_000, "'; --", "💥"])
    def test_survives_anything_typed(self, carol: Client, typed: str) -> None:
        store()
        assert carol.get(LIST, {"q": typed}).status_code == 200


class TestCost:
    def queries(self, client: Client, **query: Any) -> list[str]:
        cache.clear()
        with CaptureQueriesContext(
            connection,
        ) as captured:
            assert client.get(LIST, query).status_code == 200
        return [entry["sql"] for entry in captured.captured_queries]

    @pytest.mark.parametrize("query", [{}, {"code": "LLM_TIMEOUT"}, {"when": "24h"}, {"q": "session-of-alice"}])
    def test_does_not_grow_with_the_rows(self, carol: Client, query: dict[str, str]) -> None:
        store("LLM_TIMEOUT")
        carol.get(LIST)  # whatever is looked up once per process
        one = self.queries(carol, **query)
        for number in range(200):
            store("LLM_TIMEOUT", user_id=str(number))
        assert len(self.queries(carol, **query)) == len(one)

    def test_counts_no_further_than_it_has_to(self, carol: Client) -> None:
        for sql in self.queries(carol):
            assert "COUNT(*)" not in sql or "LIMIT" in sql or "GROUP BY" in sql, sql

    def test_says_when_it_stopped_counting(self, carol: Client, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(changelist, "MAX_COUNT", 3)
        for _ in range(3):
            store()
        assert "3 failures" in words(carol.get(LIST).content.decode())
        store()
        assert "3+ failures" in words(carol.get(LIST).content.decode())

    def test_reads_no_traceback_for_the_list(self, carol: Client) -> None:
        store()
        for sql in self.queries(carol):
            assert "traceback" not in sql

    def test_reaches_every_page_it_offers(self, carol: Client) -> None:
        stored = [store(ago=timedelta(seconds=-number)).reference for number in range(101)]
        assert references(carol.get(LIST, {"p": 2})) == stored[:1]
        beyond = carol.get(LIST, {"p": 99}, follow=True)
        assert "cannot be read; showing all failures" in words(beyond.content.decode())
