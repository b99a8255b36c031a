"""The session list of the admin: who may see it and how much, what it shows, how it is searched, what it costs."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.test import Client
from django.utils import timezone

from chat.models import ChatSession
from tests.chat.talks import LIST, answer, fail, page, reader, say, session, staff
from tests.errors.stored import words

pytestmark = pytest.mark.django_db

CANARY = "a-very-private-thing"
HOSTILE = "</script></textarea><img src=x onerror=alert(1)>\"'"


@pytest.fixture
def alice() -> Any:
    return get_user_model().objects.create_user("alice")


@pytest.fixture
def rita() -> Client:
    return reader()


def shown(response: Any) -> list[ChatSession]:
    assert response.status_code == 200, response.status_code
    return list(response.context["cl"].result_list)


class TestAccess:
    def test_by_permission(self, alice: Any) -> None:
        """Anonymous, a person, staff without and with each permission, a superuser: list, page, title and words."""
        talk = session(alice, CANARY)
        fail(say(talk, CANARY))
        plain = Client()
        plain.force_login(alice)
        expected = [
            (Client(), 302, False),
            (plain, 302, False),
            (staff("mallory"), 403, False),
            (staff("carol", "view_routingfailure"), 403, False),
            (staff("sam", "read_transcript"), 403, False),
            (staff("vera", "view_chatsession"), 200, False),
            (staff("rita", "view_chatsession", "read_transcript"), 200, True),
            (staff("root", is_superuser=True), 200, True),
        ]
        for client, status, may_read in expected:
            for address in (LIST, page(talk)):
                response = client.get(address)
                assert response.status_code == status, address
                assert (CANARY in response.content.decode()) is may_read, address
            assert (CANARY in client.get(f"{LIST}?q={talk.pk}", follow=True).content.decode()) is may_read

    def test_says_kindly_what_is_missing(self, alice: Any) -> None:
        text = words(staff("vera", "view_chatsession").get(page(session(alice, CANARY))).content.decode())
        assert "What people write is private." in text
        assert "an administrator can grant it" in text

    @pytest.mark.parametrize("query", [{"q": CANARY}, {"title__contains": "a"}, {"messages__content__contains": "a"}])
    def test_cannot_be_asked_what_somebody_wrote(self, alice: Any, query: dict[str, str]) -> None:
        say(session(alice, CANARY), CANARY)
        response = staff("vera", "view_chatsession").get(LIST, query)
        assert response.status_code == 400 or shown(response) == []

    def test_is_read_only_even_for_a_superuser(self, alice: Any) -> None:
        root = staff("root", is_superuser=True)
        talk = session(alice)
        before = ChatSession.objects.values().get()
        for address in (f"{LIST}add/", page(talk), page(talk).replace("/change/", "/delete/")):
            assert root.post(address, {"title": "X", "post": "yes", "_save": "Save"}).status_code == 403, address
        root.post(LIST, {"action": "delete_selected", "_selected_action": str(talk.pk), "post": "yes"})
        assert ChatSession.objects.values().get() == before
        history = root.get(page(talk).replace("/change/", "/history/"))
        assert (history.status_code, history["Location"]) == (302, page(talk))

    def test_leaves_a_line_in_the_log_for_each_reading(self, alice: Any, log_lines: list[dict[str, Any]]) -> None:
        talk = session(alice, CANARY)
        staff("vera", "view_chatsession").get(page(talk))
        reader().get(page(talk))
        (line,) = [line for line in log_lines if line["event"] == "chat.transcript_read"]
        assert line["session_id"] == str(talk.pk)
        assert line["user_id"] == str(get_user_model().objects.get(username="rita").pk)
        assert CANARY not in str(log_lines)


class TestList:
    def test_shows_the_facts_newest_activity_first(self, rita: Client, alice: Any) -> None:
        old = session(alice, "Older talk", ago=timedelta(hours=2), ended_at=timezone.now())
        new = session(get_user_model().objects.create_user("bob"), "Newer talk")
        answer(say(new, "hello"), "hi")
        response = rita.get(LIST)
        assert shown(response) == [new, old]
        text = words(response.content.decode())
        assert f"Newer talk bob 2 {new.last_activity_at:%Y-%m-%d %H:%M:%S} open" in text
        assert f"Older talk alice 0 {old.last_activity_at:%Y-%m-%d %H:%M:%S} ended" in text

    def test_names_a_session_by_its_id_for_those_who_may_not_read(self, alice: Any) -> None:
        talk = session(alice, CANARY)
        html = staff("vera", "view_chatsession").get(LIST).content.decode()
        assert f'href="{page(talk)}"' in html
        assert f"{talk.pk} alice" in words(html)

    def test_keeps_its_order_whatever_the_address_asks(self, rita: Client, alice: Any) -> None:
        first, second = session(alice, "a"), session(alice, "b")
        assert shown(rita.get(LIST, {"o": "1.-2"})) == [second, first]

    @pytest.mark.parametrize(
        ("query", "titles"),
        [
            ({"state": "open"}, ["now", "days"]),
            ({"state": "ended"}, ["months"]),
            ({"activity": "24h"}, ["now"]),
            ({"activity": "7d"}, ["now", "days"]),
            ({"activity": "30d"}, ["now", "days"]),
            ({"activity": "older"}, ["months"]),
            ({"activity": "7d", "state": "ended"}, []),
        ],
    )
    def test_is_narrowed_by_state_and_activity(
        self, rita: Client, alice: Any, query: dict[str, str], titles: list[str]
    ) -> None:
        session(alice, "now")
        session(alice, "days", ago=timedelta(days=3))
        session(alice, "months", ago=timedelta(days=90), ended_at=timezone.now())
        assert [talk.title for talk in shown(rita.get(LIST, query))] == titles

    def test_leads_to_the_sessions_of_one_owner(self, rita: Client, alice: Any) -> None:
        mine = session(alice)
        session(get_user_model().objects.create_user("bob"))
        assert f'href="{LIST}?owner={alice.pk}"' in rita.get(LIST).content.decode()
        assert shown(rita.get(LIST, {"owner": alice.pk})) == [mine]

    @pytest.mark.parametrize(
        "query",
        [{"state": "x"}, {"activity": ""}, {"owner": "no-number"}, {"owner": "\x00"}, {"owner": ""}],
    )
    def test_leads_back_to_the_whole_list_when_a_filter_makes_no_sense(
        self, rita: Client, query: dict[str, str]
    ) -> None:
        response = rita.get(LIST, query)
        assert response.status_code == 302
        text = words(rita.get(response["Location"]).content.decode())
        assert "This address has a filter that cannot be read; showing all sessions." in text
        assert "cannot be read" not in rita.get(LIST).content.decode()

    @pytest.mark.parametrize("owner", ["999", "9" * 40, "-1"])
    def test_is_empty_for_an_owner_that_there_is_not(self, rita: Client, alice: Any, owner: str) -> None:
        session(alice)
        assert shown(rita.get(LIST, {"owner": owner})) == []

    def test_is_searched_by_id_and_by_exact_name(self, rita: Client, alice: Any) -> None:
        wanted = session(alice)
        session(get_user_model().objects.create_user("alice2"))
        for typed in (str(wanted.pk), str(wanted.pk).upper(), wanted.pk.hex, f" {wanted.pk} ", "alice"):
            assert shown(rita.get(LIST, {"q": typed})) == [wanted], typed
        assert shown(rita.get(LIST, {"q": "alic"})) == []

    @pytest.mark.parametrize("typed", ["%", "_", "\x00", "x" * 5_000, "'; --", "💥", "0" * 32, "9" * 30])
    def test_survives_anything_typed(self, rita: Client, alice: Any, typed: str) -> None:
        session(alice)
        assert rita.get(LIST, {"q": typed}).status_code == 200

    def test_says_so_when_there_is_nothing(self, rita: Client) -> None:
        assert "No sessions yet" in words(rita.get(LIST).content.decode())
        assert "No session matches these filters" in words(rita.get(LIST, {"state": "open"}).content.decode())
        text = words(rita.get(LIST, {"q": "nobody", "state": "open"}).content.decode())
        assert "No session found for “nobody”" in text
        assert "Search without them" in text

    def test_escapes_what_people_made_up(self, rita: Client) -> None:
        talk = session(get_user_model().objects.create_user(HOSTILE), HOSTILE[:80], model_id=HOSTILE)
        for address in (LIST, page(talk), f"{LIST}?q={HOSTILE}"):
            html = rita.get(address).content.decode()
            assert "<img src=x" not in html, address
            assert "&lt;img src=x" in html, address

    def test_costs_the_same_for_one_session_and_for_a_hundred(
        self, rita: Client, alice: Any, django_assert_num_queries: Any
    ) -> None:
        session(alice)
        rita.get(LIST)
        for number in (1, 99):
            for _ in range(number):
                answer(say(session(alice), "hello"), "hi")
            # login session, user, two for permissions, the count, the rows with their owners
            with django_assert_num_queries(6):
                rita.get(LIST)
