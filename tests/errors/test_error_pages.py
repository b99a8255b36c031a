"""The public pages of the error codes: complete, in reading order, safe, cacheable, and the same for everybody."""

from __future__ import annotations

import json
import re
from html import unescape
from pathlib import Path
from typing import Any

import msgspec
import pytest
from django.contrib.auth import get_user_model
from django.test import Client
from django.urls import include, path

from chat import protocol
from errors import catalogue, checks, explanations
from errors.context import RouteContext
from errors.exceptions import ChatError
from errors.failure import Failure
from errors.taxonomy import CATALOGUE, LLM_TIMEOUT, Category, ErrorSpec, Stage
from tests.errors.stored import words

ROOT = Path(__file__).resolve().parents[2]
PAGES = "/chat/errors/"
CODES = sorted({spec.code for spec in CATALOGUE})

OUT_OF_PAPER = ErrorSpec(
    "OUT_OF_PAPER", Category.SERVICE, "The printer <b>is</b> empty.", "Nobody filled `tray` 2.", "Fill it.", 503
)
urlpatterns = [path("help/failures/", include("errors.urls"))]  # a host project's own place


@pytest.fixture
def stranger() -> Client:
    """Nobody in particular, in a browser that sends no token of ours."""
    return Client(enforce_csrf_checks=True)


class TestPageOfACode:
    @pytest.mark.parametrize("code", CODES)
    def test_says_what_to_do_then_why_then_what_is_seen(self, stranger: Client, code: str) -> None:
        response = stranger.get(PAGES + code)
        assert response.status_code == 200
        for spec in (spec for spec in CATALOGUE if spec.code == code):
            text = words(response.content.decode().split(f'id="{spec.name}"')[-1])  # with one sentence, the whole page
            start = text.index("What you should do")
            story = [spec.remedy, "Why it happens", spec.why, "What you will see", spec.message, "For developers"]
            places = [text.find(words(part.replace("`", " ")), start) for part in story]
            assert -1 not in places, story[places.index(-1)]
            assert places == sorted(places)

    @pytest.mark.parametrize("spec", CATALOGUE, ids=lambda spec: spec.name)
    def test_shows_developers_a_frame_that_the_server_would_send(self, stranger: Client, spec: ErrorSpec) -> None:
        html = stranger.get(PAGES + spec.code).content.decode()
        frames = [json.loads(unescape(text)) for text in re.findall(r"<pre[^>]*><code>(.*?)</code>", html, re.DOTALL)]
        (shown,) = [frame for frame in frames if "type" in frame and frame["error"]["message"] == spec.message]
        assert json.loads(protocol.encode(msgspec.convert(shown, protocol.Frame))) == shown
        error = ChatError(spec, retry_after_ms=1 if spec.rule.needs_retry_after else None)
        told = Failure.of(error, RouteContext(Stage.ROUTE)).payload()
        for name in ("code", "category", "message", "recoverable", "help_url"):
            assert shown["error"][name] == getattr(told, name)
        assert shown["error"]["actions"] == list(told.actions)
        assert ("retry_after" in shown["error"]) is spec.rule.needs_retry_after

    def test_tells_both_sentences_of_a_code_that_has_two(self, stranger: Client) -> None:
        html = stranger.get(f"{PAGES}SERVICE_ERROR").content.decode()
        assert "This code has 2 sentences." in words(html)
        for name in ("SERVICE_ERROR", "REGISTRATION_FAILED"):
            assert f'href="#{name}"' in html
            assert html.count(f'id="{name}"') == 1

    def test_names_status_and_close_code(self, stranger: Client) -> None:
        text = words(stranger.get(f"{PAGES}EXPIRED_TOKEN").content.decode())
        assert "HTTP status 401" in text
        assert "close code 4502" in text
        assert "The chat is closed." in text
        assert "The chat stays connected" in words(stranger.get(f"{PAGES}LLM_TIMEOUT").content.decode())


class TestIndex:
    def test_has_every_code_once_under_its_category(self, stranger: Client) -> None:
        html = stranger.get(PAGES).content.decode()
        for code in CODES:
            assert html.count(f'id="{code}"') == 1
            assert f'href="{PAGES}{code}"' in html
        places = [html.index(f'id="{category}"') for category in Category]
        assert places == sorted(places)
        for spec in CATALOGUE:
            assert spec.message in words(html)

    def test_leads_back_to_the_chat(self, stranger: Client, settings: Any) -> None:
        assert 'href="/chat/">Back to the chat' in stranger.get(PAGES).content.decode()
        settings.ERRORS = {"home_url": ""}
        assert "Back to the chat" not in stranger.get(PAGES).content.decode()

    def test_has_its_slash_added(self, stranger: Client) -> None:
        response = stranger.get("/chat/errors")
        assert (response.status_code, response["Location"]) == (301, PAGES)


class TestOtherAddresses:
    @pytest.mark.parametrize("spelling", ["llm_timeout", "LLM-TIMEOUT", "LLM_TIMEOUT/", "Llm_Timeout//"])
    def test_another_spelling_leads_to_the_page(self, stranger: Client, spelling: str) -> None:
        response = stranger.get(PAGES + spelling)
        assert (response.status_code, response["Location"]) == (301, f"{PAGES}LLM_TIMEOUT")

    def test_an_unknown_code_gets_a_page_that_helps_on(self, stranger: Client) -> None:
        response = stranger.get(f"{PAGES}LLM_TIMOUT")
        html = response.content.decode()
        assert response.status_code == 404
        assert "no-store" in response["Cache-Control"]
        assert "errors/pages.css" in html
        assert f'href="{PAGES}LLM_TIMEOUT"' in html
        assert f'href="{PAGES}"' in html

    @pytest.mark.parametrize(
        "made_up", ["<img src=x onerror=alert(1)>", "x" * 5_000, "a/b/c", "..%2f..", "\u202e", "💥"]
    )
    def test_a_made_up_code_is_shown_harmlessly(self, stranger: Client, made_up: str) -> None:
        response = stranger.get(PAGES + made_up)
        assert response.status_code == 404
        assert "<img src=x" not in response.content.decode()
        assert len(response.content) < 5_000

    @pytest.mark.parametrize("address", ["", "LLM_TIMEOUT", "NOPE"])
    @pytest.mark.parametrize("method", ["post", "put", "patch", "delete", "options"])
    def test_only_reading_is_allowed(self, stranger: Client, address: str, method: str) -> None:
        response = getattr(stranger, method)(PAGES + address)
        assert (response.status_code, response["Allow"]) == (405, "GET, HEAD")

    @pytest.mark.parametrize("address", ["", "LLM_TIMEOUT", "NOPE"])
    def test_head_is_get_without_a_body(self, stranger: Client, address: str) -> None:
        read, asked = stranger.get(PAGES + address), stranger.head(PAGES + address)
        assert (asked.status_code, asked.content) == (read.status_code, b"")
        assert asked["Content-Type"] == read["Content-Type"]


class TestEveryPage:
    @pytest.mark.parametrize("address", ["", "LLM_TIMEOUT", "SERVICE_ERROR", "<img src=x onerror=alert(1)>"])
    def test_runs_nothing_and_fetches_nothing_from_elsewhere(self, stranger: Client, address: str) -> None:
        response = stranger.get(PAGES + address)
        html = response.content.decode()
        assert "default-src 'self'" in response["Content-Security-Policy"]
        assert "unsafe" not in response["Content-Security-Policy"]
        assert not re.search(r"<script|<style|\sstyle=|\son\w+=[\"']|javascript:", html)
        for place in re.findall(r'(?:href|src)="([^"]*)"', html):
            assert place.startswith(("/static/errors/", "/chat/", "#")), place

    @pytest.mark.parametrize("address", ["", "LLM_TIMEOUT"])
    def test_may_be_kept_by_any_cache(self, stranger: Client, address: str) -> None:
        response = stranger.get(PAGES + address)
        assert response["Cache-Control"] == "public, max-age=3600"
        assert not response.cookies
        assert "Cookie" not in response.get("Vary", "")

    @pytest.mark.django_db
    def test_is_the_same_for_everybody_and_asks_no_database(self, django_assert_num_queries: Any) -> None:
        alice = Client()
        alice.force_login(get_user_model().objects.create_user("alice"))
        with django_assert_num_queries(0):
            mine, theirs = alice.get(f"{PAGES}LLM_TIMEOUT"), Client().get(f"{PAGES}LLM_TIMEOUT")
        assert mine.content == theirs.content

    def test_looks_like_the_chat(self) -> None:
        """Every variable of the pages' stylesheet has the value that it has in the chat's, light and dark."""
        ours = _variables(ROOT / "errors/static/errors/pages.css")
        theirs = _variables(ROOT / "chat/static/chat/chat.css")
        assert len(ours) > 25
        assert ours.items() <= theirs.items()


class TestInAHostProject:
    def test_its_own_codes_have_pages(self, stranger: Client, settings: Any) -> None:
        settings.ERRORS = {**settings.ERRORS, "extra_specs": (f"{__name__}.OUT_OF_PAPER",)}
        html = stranger.get(f"{PAGES}OUT_OF_PAPER").content.decode()
        assert "The printer &lt;b&gt;is&lt;/b&gt; empty." in html
        assert "Nobody filled <code>tray</code> 2." in html
        assert 'id="OUT_OF_PAPER"' in stranger.get(PAGES).content.decode()

    def test_the_pages_live_where_it_puts_them(self, stranger: Client, settings: Any) -> None:
        settings.ROOT_URLCONF = __name__
        assert 'href="/help/failures/LLM_TIMEOUT"' in stranger.get("/help/failures/").content.decode()
        assert stranger.get("/help/failures/llm_timeout")["Location"] == "/help/failures/LLM_TIMEOUT"


class TestHelpUrl:
    def payload(self, spec: ErrorSpec = LLM_TIMEOUT) -> dict[str, Any]:
        failure = Failure.of(ChatError(spec), RouteContext(Stage.ROUTE))
        return json.loads(protocol.encode(protocol.ErrorFrame(error=failure.payload())))["error"]

    def test_leads_to_the_page_of_the_code(self, stranger: Client) -> None:
        assert stranger.get(self.payload()["help_url"]).status_code == 200

    def test_is_left_out_where_there_are_no_pages(self, settings: Any) -> None:
        settings.ERRORS = {"help_url": ""}
        assert "help_url" not in self.payload()

    def test_quotes_a_code_that_is_no_word(self) -> None:
        odd = ErrorSpec("A/B?&", Category.SERVICE, "m", "w", "r", 503)
        assert self.payload(odd)["help_url"] == f"{PAGES}A%2FB%3F%26"

    @pytest.mark.parametrize(
        ("wrong", "identifier"),
        [
            ({"help_url": "/help/"}, "errors.E003"),
            ({"help_url": "javascript:alert('{code}')"}, "errors.E003"),
            ({"help_url": "//evil.example/{code}"}, "errors.E003"),
            ({"home_url": "chat"}, "errors.E003"),
            ({"conversation_link": "chat.nowhere.at_all"}, "errors.E004"),
            ({"conversation_link": "errors.taxonomy.CATALOGUE"}, "errors.E004"),
        ],
    )
    def test_a_setting_that_leads_nowhere_is_refused_at_start(
        self, settings: Any, wrong: dict[str, str], identifier: str
    ) -> None:
        assert checks.settings_are_valid(None) == []
        settings.ERRORS = {**settings.ERRORS, **wrong}
        assert [problem.id for problem in checks.settings_are_valid(None)] == [identifier]


def test_every_category_and_outcome_has_its_words() -> None:
    assert [group.category for group in explanations.groups()] == list(Category)
    assert {code.code for group in explanations.groups() for code in group.codes} == {
        spec.code for spec in catalogue.specs()
    }


def _variables(stylesheet: Path) -> dict[tuple[str, str], str]:
    """(light or dark, name) -> value of every custom property."""
    light, _, dark = stylesheet.read_text().partition("@media (prefers-color-scheme: dark)")
    return {
        (theme, name): value
        for theme, text in (("light", light), ("dark", dark))
        for name, value in re.findall(r"^\s+(--[\w-]+): ([^;]+);", text, re.MULTILINE)
    }
