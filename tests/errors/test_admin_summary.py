"""The last 24 hours above the failure list: by category, by code, by hour."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.core.cache import cache
from django.db import DatabaseError, connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from errors import summary
from tests.errors.stored import LIST, at, references, staff, store, words

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 3, 15, 12, 30, tzinfo=UTC)


@pytest.fixture
def carol() -> Client:
    return staff("carol")


@pytest.fixture(autouse=True)
def _no_figures_of_another_test() -> None:
    cache.clear()


def plan(sql: str) -> str:
    """How the database would answer. PostgreSQL reads a small table whole, unless it is told not to."""
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SET LOCAL enable_seqscan = off")
            cursor.execute("SET LOCAL enable_sort = off")
        cursor.execute(f"EXPLAIN {'QUERY PLAN ' if connection.vendor == 'sqlite' else ''}{sql}")
        return "\n".join(str(row[-1]) for row in cursor.fetchall())


class TestSummary:
    def test_counts_by_category_code_and_hour(self) -> None:
        for code, hours in (("LLM_TIMEOUT", 0), ("LLM_TIMEOUT", 2), ("TOO_MANY_REQUESTS", 2), ("UNAUTHORIZED", 30)):
            at(NOW - timedelta(hours=hours), code=code)
        with timezone.override("UTC"):
            read = summary.read(NOW)
        assert read is not None
        assert read.count == 3
        assert {row.label: row.count for row in read.categories} == {
            "auth": 0, "validation": 0, "service": 2, "rate limit": 1,
        }  # fmt: skip
        assert [(row.label, row.count, round(row.share)) for row in read.codes] == [
            ("LLM_TIMEOUT", 2, 67),
            ("TOO_MANY_REQUESTS", 1, 33),
        ]
        assert [(hour.label, hour.count) for hour in read.hours if hour.count] == [("10:00", 2), ("12:00", 1)]
        assert len(read.hours) == 24
        assert (read.peak.label, read.peak.count) == ("10:00", 2)

    def test_draws_bars_that_fill_the_chart_and_no_more(self) -> None:
        for minutes in (0, 1, 2, 200):
            at(NOW - timedelta(minutes=minutes), code="LLM_TIMEOUT")
        at(NOW, code="UNAUTHORIZED")
        read = summary.read(NOW)
        assert read is not None
        for hour in read.hours:
            assert 0 <= hour.x < read.width
            assert all(0 <= part.y <= part.y + part.height <= read.height + 0.01 for part in hour.parts)
        assert sum(part.height for part in read.peak.parts) == pytest.approx(read.height, abs=0.1)
        assert max(row.bar for row in read.categories) == 100

    def test_gathers_codes_beyond_the_seventh(self) -> None:
        codes = [
            "UNAUTHORIZED", "INVALID_TOKEN", "INVALID_FORMAT", "MISSING_FIELD", "UNKNOWN_TYPE", "NOT_FOUND",
            "LLM_TIMEOUT", "LLM_REFUSED", "SERVER_BUSY", "SERVICE_ERROR",
        ]  # fmt: skip
        for code in codes:
            at(NOW, code=code)
        read = summary.read(NOW)
        assert read is not None
        assert len(read.codes) == 8
        assert (read.codes[-1].label, read.codes[-1].count, read.codes[-1].query) == ("all others", 3, "")

    def test_counts_by_cause_and_calls_each_by_the_words_of_its_newest(self) -> None:
        for minutes, cause in ((9, "ssl.SSLError: old words"), (1, "ssl.SSLError: new words")):
            at(NOW - timedelta(minutes=minutes), fingerprint="aaaa", cause=cause)
        at(NOW - timedelta(hours=30), fingerprint="bbbb", cause="yesterday's")
        for number in range(8):
            at(NOW, code="UNAUTHORIZED", fingerprint=f"c{number}", cause=f"KeyError: {number}")
        read = summary.read(NOW, with_causes=True)
        assert read is not None
        assert (read.causes[0].label, read.causes[0].count, read.causes[0].category) == (
            "SSLError: new words", 2, "service",
        )  # fmt: skip
        assert [row.count for row in read.causes] == [2, 1, 1, 1, 1, 1, 1, 2]
        assert (read.causes[-1].label, read.causes[-1].query) == ("all others", "")

    def test_is_answered_by_indexes_alone(self) -> None:
        """Among a million rows, each row that had to be looked up would count."""
        for number in range(20):
            at(NOW - timedelta(minutes=number), fingerprint=f"c{number}")
        with CaptureQueriesContext(connection) as captured:
            summary.read(NOW, with_causes=True)
        counted, named = (plan(query["sql"]) for query in captured.captured_queries)
        by_index = re.findall(r"(?:USING COVERING INDEX|Index Only Scan using) failure_time\b", counted)
        assert len(by_index) == 24, counted  # one for each hour
        assert re.search(r"(USING INDEX|Index Scan using|Index Scan on) failure_(fingerprint|time)\b", named), named
        assert not re.search("Seq Scan|SCAN", named), named

    def test_counts_each_failure_once_at_the_borders_of_its_hour_and_of_the_day(self) -> None:
        begin, second = NOW.replace(minute=0), timedelta(seconds=1)
        day, end = begin - timedelta(hours=23), begin + timedelta(hours=1)
        for moment in (day - second, day, begin - second, begin, end - second, end):
            at(moment)
        with timezone.override("UTC"):
            read = summary.read(NOW)
        assert read is not None
        assert [(hour.label, hour.count) for hour in read.hours if hour.count] == [
            ("13:00", 1), ("11:00", 1), ("12:00", 2),
        ]  # fmt: skip

    @pytest.mark.parametrize("zone", ["America/New_York", "Asia/Kolkata"])
    def test_has_the_hours_of_the_local_clock(self, zone: str) -> None:
        failure = at(NOW)
        with timezone.override(zone):
            read = summary.read(NOW)
            assert read is not None
            (hour,) = [hour for hour in read.hours if hour.count]
            assert hour.label == f"{timezone.localtime(failure.occurred_at):%H}:00"

    @pytest.mark.parametrize(
        ("hour", "zone", "since"),
        [
            (9, "UTC", "yesterday 10:00 UTC"),
            (23, "UTC", "00:00 UTC"),
            (9, "Europe/Berlin", "yesterday 11:00 CET"),
        ],
    )
    def test_says_when_it_begins_so_that_it_never_sounds_ahead(self, hour: int, zone: str, since: str) -> None:
        with timezone.override(zone):
            read = summary.read(NOW.replace(hour=hour, minute=7))
        assert read is not None
        assert read.since == since

    def test_asks_the_database_once_in_ten_seconds(self) -> None:
        store()
        with CaptureQueriesContext(connection) as captured:
            first, second = summary.read(timezone.now()), summary.read(timezone.now())
        assert len(captured) == 1
        with CaptureQueriesContext(connection) as captured:
            for _ in range(2):
                summary.read(timezone.now(), with_causes=True)
        assert len(captured) == 1  # the words of the causes
        assert first is not None
        assert second is not None
        assert first.count == second.count == 1

    def test_is_narrowed_without_asking_the_database_again(self) -> None:
        """Reload after reload of an incident's list, the figures are the same ones."""
        for fingerprint in ("aaaa", "aaaa", "bbbb"):
            at(NOW, code="LLM_TIMEOUT", fingerprint=fingerprint, cause=f"OSError: {fingerprint}")
        at(NOW - timedelta(hours=2), code="UNAUTHORIZED", fingerprint="cccc")
        summary.read(NOW)
        with CaptureQueriesContext(connection) as captured:
            cause = summary.read(NOW, with_causes=True, only={"fingerprint": "aaaa"})
        assert len(captured) == 0
        assert cause is not None
        assert (cause.count, cause.whole, cause.peak.count) == (2, 4, 2)
        assert (cause.codes, cause.causes) == ((), ())  # all of them have the same
        code = summary.read(NOW, with_causes=True, only={"code": "LLM_TIMEOUT"})
        assert code is not None
        assert [(row.label, row.count) for row in code.causes] == [("OSError: aaaa", 2), ("OSError: bbbb", 1)]
        assert code.codes == ()
        category = summary.read(NOW, with_causes=True, only={"category": "auth", "code": "LLM_TIMEOUT"})
        assert category is not None
        assert category.count == 0

    def test_tells_when_each_cause_was_last_seen(self) -> None:
        for hours in (3, 1):
            at(NOW - timedelta(hours=hours), fingerprint="aaaa")
        read = summary.read(NOW, with_causes=True)
        assert read is not None
        assert [row.newest for row in read.causes] == [NOW - timedelta(hours=1)]

    def test_leaves_the_list_alone_when_it_fails(self, carol: Client, monkeypatch: pytest.MonkeyPatch) -> None:
        def time_out(window: Any) -> Any:
            raise DatabaseError("canceling statement due to statement timeout")

        failure = store()
        monkeypatch.setattr(summary, "_count", time_out)
        response = carol.get(LIST)
        assert references(response) == [failure.reference]
        assert "The figures could not be read in time." in words(response.content.decode())


class TestOnThePage:
    def test_shows_the_figures_as_text(self, carol: Client) -> None:
        for _ in range(3):
            store("LLM_TIMEOUT")
        store("TOO_MANY_REQUESTS")
        text = words(carol.get(LIST).content.decode())
        assert "4 failures since" in text
        assert re.search(r"By category .*auth 0 0 %.* service 3 75 %.* rate limit 1 25 %", text)
        assert "By cause Name Failures Newest TimeoutError: no token within 15 s 4 just now" in text
        assert re.search(r"By code .*LLM_TIMEOUT 3 75 % TOO_MANY_REQUESTS 1 25 %", text)

    def test_leads_to_the_failures_that_it_counts(self, carol: Client) -> None:
        wanted = store("TOO_MANY_REQUESTS")
        store("LLM_TIMEOUT")
        store("TOO_MANY_REQUESTS", ago=timedelta(hours=30))
        response = carol.get(LIST)
        shown = response.context["summary"]
        queries = [row.query for row in (*shown.categories, *shown.codes) if row.count and "LLM" not in row.query]
        for query in queries:
            assert query.replace("&", "&amp;") in response.content.decode()
            if "service" not in query:
                assert references(carol.get(LIST + query)) == [wanted.reference]
        assert len(references(carol.get(LIST + shown.peak.query))) == shown.peak.count

    def test_leads_to_the_failures_of_one_cause(self, carol: Client) -> None:
        wanted = store(fingerprint="aaaa", cause="ssl.SSLError: <b>")
        store("LLM_TIMEOUT", fingerprint="bbbb", cause="KeyError: 'x'")
        rows = {row.label: row.query for row in carol.get(LIST).context["summary"].causes}
        response = carol.get(LIST + rows["SSLError: <b>"])
        assert references(response) == [wanted.reference]
        assert "cause: SSLError: <b>" in words(response.content.decode())
        assert "SSLError: &lt;b&gt;" in response.content.decode()

    def test_makes_room_for_what_was_asked_for(self, carol: Client) -> None:
        store()
        assert re.search(r'<details class="failure-summary"\s+open>', carol.get(LIST).content.decode())
        for query in ({"user_id": "1"}, {"q": "session-of-alice"}):
            assert '<details class="failure-summary">' in carol.get(LIST, query).content.decode()

    def test_is_of_the_category_code_or_cause_to_which_the_list_is_narrowed(self, carol: Client) -> None:
        """Whether an incident is over is read off its own hours, not off everybody's."""
        store("LLM_TIMEOUT", fingerprint="aaaa", cause="OSError: of aaaa")
        store("UNAUTHORIZED", fingerprint="bbbb", cause="OSError: of bbbb")
        store("SERVER_BUSY", fingerprint="cccc", ago=timedelta(hours=40))
        html = carol.get(LIST, {"fingerprint": "aaaa"}).content.decode()
        assert re.search(r'<details class="failure-summary"\s+open>', html)
        text = words(html)
        assert re.search(r"1 of 2 failures since .*, by the cause chosen", text)
        assert "By hour" in text
        assert "By cause Name" not in text
        text = words(carol.get(LIST, {"code": "LLM_TIMEOUT", "user_id": "1"}).content.decode())
        assert re.search(r"1 of 2 failures since .*, by the code chosen", text)
        assert "OSError: of aaaa 1 just now" in text
        assert "OSError: of bbbb" not in text
        assert "None of these since" in words(carol.get(LIST, {"fingerprint": "cccc"}).content.decode())
