"""The JSON API: one error shape for everything that goes wrong, and pages that tell the truth about what follows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.db import OperationalError
from django.test import Client

from chat import sessions
from chat.models import ChatMessage, ChatSession
from errors.models import RoutingFailure
from errors.rows import row_writer

pytestmark = pytest.mark.django_db

NOBODYS = "00000000-0000-4000-8000-000000000000"
SIGN_IN = {"error": "Please sign in to continue.", "code": "UNAUTHORIZED"}
FORBIDDEN = {"error": "You do not have access to this.", "code": "INSUFFICIENT_PERMISSIONS"}
NOT_FOUND = {"error": "This was not found.", "code": "NOT_FOUND"}
NOT_ALLOWED = {
    "error": "This address does not accept that kind of request.",
    "code": "METHOD_NOT_ALLOWED",
}
NOT_UNDERSTOOD = {"error": "The message could not be understood.", "code": "INVALID_FORMAT"}
ALLOWED = {
    "/chat/sessions": "GET, HEAD",
    f"/chat/sessions/{NOBODYS}": "DELETE, GET, HEAD, PATCH",
    f"/chat/sessions/{NOBODYS}/end": "POST",
    "/chat/admin/sessions": "GET, HEAD",
    "/chat/admin/metrics": "GET, HEAD",
    "/chat/healthz": "GET, HEAD",
    "/chat/readyz": "GET, HEAD",
}
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND")


@pytest.fixture
def user() -> Any:
    return get_user_model().objects.create_user("alice")


@pytest.fixture
def client(user: Any) -> Client:
    """Alice's browser, on somebody else's page: it has her cookie, but not the token of our own pages."""
    client = Client(enforce_csrf_checks=True)
    client.force_login(user)
    return client


class TestWhoMayAsk:
    @pytest.mark.parametrize(
        ("method", "path"),
        [(method, path) for path, allow in ALLOWED.items() if path[-1] != "z" for method in allow.split(", ")],
    )
    @pytest.mark.parametrize("cookie", [None, "no-such-login", "\x00'\";"])
    def test_nobody_without_a_sign_in(self, method, path, cookie):
        client = Client(enforce_csrf_checks=True)
        if cookie is not None:
            client.cookies["sessionid"] = cookie
        answer = client.generic(method, path)
        assert answer.status_code == 401
        assert method == "HEAD" or answer.json() == SIGN_IN

    def test_an_answer_names_the_person_it_is_for(self, user, client):
        client.force_login(user)
        for path in ("/chat/sessions", f"/chat/sessions/{NOBODYS}"):
            assert client.get(path)["X-Chat-User"] == str(user.pk)
        for path in ("/chat/sessions", "/chat/healthz"):
            assert "X-Chat-User" not in Client().get(path)

    def test_health_needs_no_sign_in(self):
        assert Client().get("/chat/healthz").json() == {"status": "healthy"}
        assert Client().get("/chat/readyz").json()["status"] == "ready"

    def test_nothing_is_changed_for_another_page(self, user, client):
        """A cookie travels by itself: without the token of our own page nothing is changed."""
        session = ChatSession.objects.create(owner=user)
        for headers in ({}, {"x-csrftoken": "made-up"}, {"origin": "https://evil.example"}):
            answer = client.post(f"/chat/sessions/{session.pk}/end", headers=headers)
            assert (answer.status_code, answer.json()) == (403, FORBIDDEN)
        session.refresh_from_db()
        assert session.ended_at is None

    def test_the_page_itself_may(self, user, client):
        session = ChatSession.objects.create(owner=user)
        client.get("/chat/")
        token = client.cookies["csrftoken"].value
        answer = client.post(f"/chat/sessions/{session.pk}/end", headers={"x-csrftoken": token})
        assert answer.status_code == 200
        ended_at = answer.json()["session"]["ended_at"]
        again = client.post(f"/chat/sessions/{session.pk}/end", headers={"x-csrftoken": token})
        assert again.json()["session"]["ended_at"] == ended_at


class TestWrongRequests:
    @pytest.mark.parametrize("path", ALLOWED)
    @pytest.mark.parametrize("is_signed_in", [True, False])
    def test_a_wrong_method_is_told_which_ones_there_are(self, client, path, is_signed_in):
        for method in METHODS:
            if method not in ALLOWED[path].split(", "):
                answer = (client if is_signed_in else Client(enforce_csrf_checks=True)).generic(method, path)
                assert (answer.status_code, answer.headers.get("Allow")) == (405, ALLOWED[path]), method
                assert method == "HEAD" or answer.json() == NOT_ALLOWED, method

    @pytest.mark.parametrize(
        "path", ["nowhere", "sessions/", "sessions/a/b/c", "ws", "%00", "..%2f..%2fetc", "s/1/", "openapi.json", "docs"]
    )
    def test_an_unknown_address(self, client, path):
        for method in METHODS:
            answer = client.generic(method, f"/chat/{path}")
            assert answer.status_code == 404, method
            assert method == "HEAD" or answer.json() == NOT_FOUND, method

    @pytest.mark.parametrize(
        ("path", "field"),
        [
            *[(f"sessions?limit={value}", "limit") for value in ("0", "-1", "501", "x", "1.5", "", "9" * 400, "%00")],
            *[
                (f"sessions?cursor={value}", "cursor")
                for value in ("x", f"nan_{NOBODYS}", f"1e999_{NOBODYS}", f"-1e17_{NOBODYS}", "1_x", "_", "%00")
            ],
            *[(f"sessions/{NOBODYS}?before={value}", "before") for value in ("0", "-1", "x", "1.5", 2**53 + 1, "")],
            *[(f"sessions/{NOBODYS}?limit={value}", "limit") for value in ("0", "501", "all")],
        ],
    )  # fmt: skip
    def test_a_wrong_parameter_is_named(self, client, path, field):
        answer = client.get(f"/chat/{path}")
        assert (answer.status_code, answer.json()) == (400, {**NOT_UNDERSTOOD, "field": field})

    @pytest.mark.django_db(transaction=True)  # the row is written on another connection
    def test_only_a_recorded_failure_has_a_reference(self, client, monkeypatch):
        def fail(*args, **kwargs):
            raise OperationalError("canary-5b1f connection to 10.0.0.7 refused")

        assert "reference" not in client.get("/chat/sessions/none").json()
        monkeypatch.setattr(sessions, "page", fail)
        answer = client.get("/chat/sessions")
        body = answer.json()
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
        assert body == {
            "error": "Our storage is not available right now.",
            "code": "DATABASE_ERROR",
            "reference": body["reference"],
        }
        assert row_writer.flush()
        row = RoutingFailure.objects.get()
        assert (row.reference, row.stage, row.code) == (body["reference"], "http", "DATABASE_ERROR")
        assert "canary-5b1f" in row.cause
        assert row.frame == answer.content.decode()


class TestPages:
    @pytest.mark.parametrize(("count", "limit"), [(0, 2), (1, 2), (2, 2), (3, 2), (4, 2), (5, 1)])
    def test_sessions_come_newest_first_each_once(self, client, user, count, limit):
        """Half of them were last used at the same moment, which must neither repeat nor lose one."""
        now = datetime.now(UTC)
        for number in range(count):
            used_at = now - timedelta(microseconds=number // 2)
            ChatSession.objects.create(owner=user, title=f"{number}", last_activity_at=used_at)
        seen: list[dict[str, Any]] = []
        address = f"/chat/sessions?limit={limit}"
        while True:
            page = client.get(address).json()
            seen += page["sessions"]
            assert page["has_more"] is (len(seen) < count)
            assert (page["next"] is not None) is page["has_more"]
            if not page["has_more"]:
                break
            assert len(page["sessions"]) == limit
            address = f"/chat/sessions?limit={limit}&cursor={page['next']}"
        assert sorted(session["title"] for session in seen) == [f"{number}" for number in range(count)]
        times = [session["last_activity_at"] for session in seen]
        assert times == sorted(times, reverse=True)

    @pytest.mark.parametrize(("count", "limit"), [(0, 2), (1, 2), (2, 2), (3, 2), (5, 2)])
    def test_a_history_is_read_backwards_to_its_beginning(self, client, user, count, limit):
        session = ChatSession.objects.create(owner=user, last_seq=count)
        for seq in range(1, count + 1):
            ChatMessage.objects.create(session=session, seq=seq, sender="user", content=f"{seq}")
        seen: list[int] = []
        before = ""
        while True:
            page = client.get(f"/chat/sessions/{session.pk}?limit={limit}{before}").json()
            numbers = [message["seq"] for message in page["messages"]]
            assert numbers == sorted(numbers)
            seen = numbers + seen
            assert page["has_more"] is (len(seen) < count)
            if not page["has_more"]:
                break
            before = f"&before={seen[0]}"
        assert seen == list(range(1, count + 1))

    def test_no_page_is_longer_than_the_setting(self, client, user, configure):
        configure(history_page=2)
        ChatSession.objects.bulk_create(ChatSession(owner=user) for _ in range(3))
        page = client.get("/chat/sessions?limit=500").json()
        assert (len(page["sessions"]), page["has_more"]) == (2, True)
