"""The filters beside the failure list, above all the drill-down through months, days and hours."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.test import Client
from django.utils import timezone

from errors import catalogue, periods
from tests.errors.stored import LIST, at, references, staff, store, words

pytestmark = pytest.mark.django_db

NOON = datetime(2026, 3, 15, 12, 30, tzinfo=UTC)


@pytest.fixture
def carol() -> Client:
    return staff("carol")


class TestFilters:
    @pytest.mark.parametrize(
        "query",
        [{"category": "rate_limit"}, {"code": "TOO_MANY_REQUESTS"}, {"stage": "route"}, {"outcome": "rejected"}],
    )
    def test_narrow_by_one_fact(self, carol: Client, query: dict[str, str]) -> None:
        wanted = store("TOO_MANY_REQUESTS", stage="route", outcome="rejected")
        store("LLM_TIMEOUT")
        response = carol.get(LIST, query)
        assert references(response) == [wanted.reference]
        assert [item.query_without for item in response.context["cl"].active_filters] == ["?"]

    def test_add_up(self, carol: Client) -> None:
        wanted = store("LLM_TIMEOUT", outcome="partial")
        store("LLM_TIMEOUT")
        store("LLM_UNAVAILABLE", outcome="partial")
        assert references(carol.get(LIST, {"code": "LLM_TIMEOUT", "outcome": "partial"})) == [wanted.reference]

    def test_offer_every_code_of_the_catalogue_once_without_asking_the_table(self, carol: Client) -> None:
        specs = {spec.parameter_name: spec for spec in carol.get(LIST).context["cl"].filter_specs}
        offered = [code for code, _ in specs["code"].lookup_choices]
        assert offered == sorted({spec.code for spec in catalogue.specs()})

    def test_say_what_they_hid(self, carol: Client) -> None:
        store("LLM_TIMEOUT")
        text = words(carol.get(LIST, {"code": "SERVER_BUSY", "user_id": ""}).content.decode())
        assert "No failure matches these filters" in text
        assert "code: SERVER_BUSY" in text
        assert "user: (none)" in text

    @pytest.mark.parametrize(
        "query",
        [
            {"user_id": "a\x00b"},
            {"fingerprint": "\x00"},
            {"when": "never"},
            {"when": "2026-13"},
            {"when": "2026-11-00"},
            {"when": ""},
        ],
    )
    def test_lead_back_to_the_whole_list_when_they_make_no_sense(self, carol: Client, query: dict[str, str]) -> None:
        response = carol.get(LIST, query)
        assert response.status_code == 302
        text = words(carol.get(response["Location"]).content.decode())
        assert "This address has a filter that cannot be read; showing all failures." in text
        assert "cannot be read" not in carol.get(LIST).content.decode()


class TestDrillDown:
    @pytest.mark.parametrize(
        ("word", "inside", "outside"),
        [
            ("2026-02", ["2026-02-01T00:00", "2026-02-28T23:59"], ["2026-01-31T23:59", "2026-03-01T00:00"]),
            ("2026-03-15", ["2026-03-15T00:00", "2026-03-15T23:59"], ["2026-03-14T23:59", "2026-03-16T00:00"]),
            ("2026-03-15T12", ["2026-03-15T12:00", "2026-03-15T12:59"], ["2026-03-15T11:59", "2026-03-15T13:00"]),
            ("2025-12", ["2025-12-31T23:59"], ["2026-01-01T00:00"]),
        ],
    )
    def test_narrows_to_a_stretch_of_time(
        self, carol: Client, word: str, inside: list[str], outside: list[str]
    ) -> None:
        moments = {
            text: datetime.fromisoformat(text).replace(tzinfo=timezone.get_current_timezone())
            for text in inside + outside
        }
        stored = {text: at(moment).reference for text, moment in moments.items()}
        assert set(references(carol.get(LIST, {"when": word}))) == {stored[text] for text in inside}

    def test_narrows_to_the_last_24_hours(self, carol: Client) -> None:
        recent = store(ago=timedelta(hours=22))
        store(ago=timedelta(hours=25))
        assert references(carol.get(LIST, {"when": "24h"})) == [recent.reference]

    @pytest.mark.parametrize(
        ("word", "inside", "outside", "label"),
        [
            ("15m", timedelta(minutes=14), timedelta(minutes=16), "the last 15 minutes"),
            ("1h", timedelta(minutes=59), timedelta(minutes=61), "the last hour"),
            ("7d", timedelta(days=6, hours=23), timedelta(days=7, hours=1), "the last 7 days"),
        ],
    )
    def test_narrows_to_what_has_just_been(
        self, carol: Client, word: str, inside: timedelta, outside: timedelta, label: str
    ) -> None:
        recent = [store(ago=-timedelta(seconds=1)).reference, store(ago=inside).reference]  # a clock may be ahead
        store(ago=outside)
        response = carol.get(LIST, {"when": word})
        assert references(response) == recent
        assert f"time: {label}" in words(response.content.decode())
        assert f"?when={word}" in self.offered(carol, {})

    def test_leads_from_months_to_days_to_hours_and_back(self, carol: Client) -> None:
        today = timezone.localtime()
        month, day, hour = f"{today:%Y-%m}", f"{today:%Y-%m-%d}", f"{today:%Y-%m-%dT%H}"
        assert f"?when={month}" in self.offered(carol, {})
        assert f"?when={day}" in self.offered(carol, {"when": month})
        of_day = self.offered(carol, {"when": day})
        assert f"?when={month}" in of_day
        assert f"?when={hour.replace(':', '%3A')}" in of_day
        of_hour = self.offered(carol, {"when": hour})
        assert {f"?when={month}", f"?when={day}", "?"} <= set(of_hour)

    def test_keeps_the_other_filters(self, carol: Client) -> None:
        assert all(
            query == "?code=LLM_TIMEOUT" or query.startswith("?code=LLM_TIMEOUT&when=")
            for query in self.offered(carol, {"code": "LLM_TIMEOUT"})
        )

    def offered(self, client: Client, query: dict[str, str]) -> list[str]:
        changelist = client.get(LIST, query).context["cl"]
        when = next(spec for spec in changelist.filter_specs if spec.parameter_name == "when")
        return [choice["query_string"] for choice in when.choices(changelist)]


class TestPeriods:
    @pytest.mark.parametrize(
        ("days", "offered"),
        [
            (10, ["2026-03"]),
            (30, ["2026-03", "2026-02"]),
            (5_000, ["2026-03", "2026-02", "2026-01", *(f"2025-{month:02}" for month in range(12, 3, -1))]),
        ],
    )
    def test_offers_months_of_which_failures_are_kept(self, settings: Any, days: int, offered: list[str]) -> None:
        settings.ERRORS = {"retention_days": days}
        with timezone.override("UTC"):
            assert [period.word for period in periods.steps(None, NOON)] == offered

    def test_offers_days_and_hours_up_to_now(self) -> None:
        with timezone.override("UTC"):
            days = periods.steps(periods.read("2026-03", NOON), NOON)
            hours = periods.steps(periods.read("2026-03-15", NOON), NOON)
            february = periods.steps(periods.read("2026-02", NOON), NOON)
            siblings = periods.steps(periods.read("2026-03-15T03", NOON), NOON)
        assert [day.short for day in days] == [str(day) for day in range(1, 16)]
        assert [hour.short for hour in hours] == [f"{hour:02}" for hour in range(13)]
        assert len(february) == 28
        assert siblings == hours

    def test_knows_the_days_on_which_the_clocks_change(self) -> None:
        with timezone.override("Europe/Berlin"):
            spring = periods.read("2026-03-29", NOON)
            autumn = periods.read("2026-10-25", NOON)
            later = datetime(2027, 1, 1, tzinfo=UTC)
            assert spring is not None
            assert autumn is not None
            assert spring.end - spring.begin == timedelta(hours=23)
            assert autumn.end - autumn.begin == timedelta(hours=25)
            assert [hour.short for hour in periods.steps(spring, later)][:4] == ["00", "01", "03", "04"]
            twice = periods.read("2026-10-25T02", later)
            assert twice is not None
            assert twice.end - twice.begin == timedelta(hours=2)

    @pytest.mark.parametrize("zone", ["UTC", "America/New_York", "Asia/Kolkata", "Asia/Kathmandu", "Pacific/Chatham"])
    def test_counts_24_whole_hours_of_the_local_clock(self, zone: str) -> None:
        with timezone.override(zone):
            day = periods.last_day(NOON)
        assert day.end - day.begin == timedelta(hours=24)
        assert day.begin <= NOON < day.end
        assert day.begin.astimezone(ZoneInfo(zone)).minute == 0

    @pytest.mark.parametrize(
        "word", ["", "2026", "2026-00", "2026-02-30", "2026-02-10T24", "9999-12", "0000-01", "२०२६-०१", "2026-01-01T1"]
    )
    def test_reads_nothing_into_nonsense(self, word: str) -> None:
        assert periods.read(word, NOON) is None
