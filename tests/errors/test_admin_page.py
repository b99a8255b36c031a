"""The page of one failure: the whole story, in reading order, and nothing of it can break out of the page."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from django.contrib.auth import get_user_model
from django.test import Client
from django.utils.html import escape

from errors import causes, cells
from tests.errors.stored import LIST, page, references, staff, store, words

pytestmark = pytest.mark.django_db

HOSTILE = "</script></textarea><img src=x onerror=alert(1)>\"'"


@pytest.fixture
def carol() -> Client:
    return staff("carol")


class TestPage:
    def test_tells_the_story_in_reading_order(self, carol: Client) -> None:
        failure = store("TOO_MANY_REQUESTS", retry_after_ms=4_200, outcome="rejected", ref="ref-1", attempt=2)
        text = words(carol.get(page(failure)).content.decode())
        story = [
            failure.reference,
            "Root cause TimeoutError: no token within 15 s",
            "TOO_MANY_REQUESTS rate limit",
            f"{failure.occurred_at:%Y-%m-%d %H:%M:%S}",
            "just now",
            "nothing was stored",
            "session-of-alice",
            "Why it failed",
            "errors.exceptions.ChatError",
            "root cause",
            "no token within 15 s",
            "Show the traceback",
            "What the person was told",
            "You are sending messages too quickly.",
            "There is a limit on messages",
            "What the person can do",
            "Wait for the stated time",
            "Told to 1 connection.",
            "connection-of-alice",
            "user_message",
            "ref-1",
            "yes: the connection went on",
            "4200 ms",
        ]
        place = text.find("What happened")
        for fact in story:
            place = text.find(fact, place)
            assert place != -1, fact

    @pytest.mark.parametrize(
        ("cause", "shown"),
        [
            ("django.db.utils.OperationalError: no\n  answer", "OperationalError: no answer"),
            ("errors.exceptions.ChatError", "ChatError"),
            ("errors.exceptions.ChatError: LLM_OVERLOADED: busy", "LLM_OVERLOADED: busy"),
            ("tests.x.<locals>.Odd: a.b: c", "Odd: a.b: c"),
            ("no type. at all", "no type. at all"),
            (f"ssl.SSLError: {'x' * 500}", f"SSLError: {'x' * 189}…"),
            ("", "Not recorded."),
        ],
    )
    def test_has_the_root_cause_in_one_line_under_the_reference(self, carol: Client, cause: str, shown: str) -> None:
        html = carol.get(page(store(cause=cause))).content.decode()
        assert f'<b class="failure-root">{escape(shown)}</b>' in html

    def test_names_the_user_while_there_is_one(self, carol: Client) -> None:
        alice = get_user_model().objects.create_user("alice")
        failure = store(user_id=str(alice.pk))
        text = words(carol.get(page(failure)).content.decode())
        assert f"alice ({alice.pk})" in text
        assert text.index(f"alice ({alice.pk})") < text.index("Why it failed")
        for gone in ("999999", "not-a-number", "9" * 200, ""):
            assert carol.get(page(store(user_id=gone))).status_code == 200

    @pytest.mark.parametrize(
        ("facts", "sentence"),
        [
            ({"deliveries": 2}, "Told to 2 connections."),
            ({"deliveries": 0, "drops": 1}, "Dropped for 1 connection: the outbox was full."),
            ({"deliveries": 0, "frame": ""}, "Nobody was connected any more"),
        ],
    )
    def test_says_whether_the_person_was_told(self, carol: Client, facts: dict[str, object], sentence: str) -> None:
        assert sentence in words(carol.get(page(store(**facts))).content.decode())

    def test_shows_the_exact_frame_readably(self, carol: Client) -> None:
        failure = store()
        shown = json.dumps(json.loads(failure.frame), indent=2)
        assert words(f"<p>{shown}</p>") in words(carol.get(page(failure)).content.decode())

    def test_shows_a_frame_that_is_no_json_as_it_is(self, carol: Client) -> None:
        assert "{half a fra" in words(carol.get(page(store(frame="{half a fra"))).content.decode())

    def test_explains_the_spec_that_was_told_where_two_share_a_code(self, carol: Client) -> None:
        frame = json.dumps({"error": {"message": "Failed to establish session connection"}})
        text = words(carol.get(page(store("SERVICE_ERROR", frame=frame))).content.decode())
        assert "could not be joined to the conversation" in text
        assert "Something went wrong on our side." not in text

    def test_shows_a_code_that_the_catalogue_has_lost(self, carol: Client) -> None:
        failure = store()
        type(failure).objects.update(code="GONE_WITH_A_PLUGIN", category="plugin", outcome="odd")
        text = words(carol.get(page(failure)).content.decode())
        assert "GONE_WITH_A_PLUGIN" in text
        assert "not in the catalogue" in text
        table = carol.get(LIST).content.decode().split('id="result_list"')[1]
        assert "GONE_WITH_A_PLUGIN plugin" in words(table)

    def test_links_every_fact_to_the_failures_that_share_it(self, carol: Client) -> None:
        failure = store(ref="r&1", reply_id="y", user_id="7", message_type="stop", fingerprint="aaaa")
        store(session_id="other", connection_id="other", ref="r&1", reply_id="y", fingerprint="bbbb")
        html = carol.get(page(failure)).content.decode()
        for query in (
            "user_id=7",
            "session_id=session-of-alice",
            "connection_id=connection-of-alice",
            "message_type=stop",
            "ref=r%261&amp;session_id=session-of-alice",
            "reply_id=y&amp;session_id=session-of-alice",
        ):
            assert f'href="{LIST}?{query}"' in html, query
            assert references(carol.get(f"{LIST}?{query.replace('&amp;', '&')}")) == [failure.reference], query

    def test_leads_back_to_the_list_as_it_was_narrowed(self, carol: Client) -> None:
        failure = store("LLM_TIMEOUT")
        kept = f'href="{LIST}?code=LLM_TIMEOUT&amp;q=1"'
        html = carol.get(page(failure), {"_changelist_filters": "code=LLM_TIMEOUT&q=1"}).content.decode()
        assert html.split("Routing failures", 1)[0].count(f'href="{LIST}"') <= 1  # beside the page, in the navigation
        assert html.count(kept) >= 3  # the arrow, the heading, Close
        assert kept not in carol.get(page(failure)).content.decode()

    def test_folds_the_traceback_or_says_where_one_is(self, carol: Client) -> None:
        with_one = store()
        without = store(traceback="", ago=timedelta(minutes=1))
        assert "<details" in carol.get(page(with_one)).content.decode().split("Traceback</h2>")[-1].split("<pre")[0]
        text = words(carol.get(page(without)).content.decode())
        assert "the same cause had a traceback within the same second" in text
        assert references(carol.get(LIST, {"fingerprint": without.fingerprint})) == [
            with_one.reference,
            without.reference,
        ]

    def test_says_how_many_have_the_same_cause(self, carol: Client, monkeypatch: pytest.MonkeyPatch) -> None:
        failure = store()
        store(fingerprint="another")
        assert "No other failure has this cause." in words(carol.get(page(failure)).content.decode())
        store(ago=timedelta(days=2, hours=5), user_id="2")
        text = words(carol.get(page(failure)).content.decode())
        assert "All 2 failures with this cause First: 2 days ago. Newest: just now. 2 people were hit." in text
        monkeypatch.setattr(causes, "MAX_COUNT", 1)
        assert "All failures with this cause: more than 1" in words(carol.get(page(failure)).content.decode())

    def test_escapes_every_fact(self, carol: Client) -> None:
        names = ["user_id", "session_id", "connection_id", "message_type", "ref", "reply_id", "in_reply_to", "field"]
        failure = store(
            **dict.fromkeys(names, HOSTILE),
            cause=HOSTILE,
            causes=[{"type": HOSTILE, "message": HOSTILE, "where": HOSTILE}, HOSTILE, {"odd": 1}],
            traceback=HOSTILE,
            frame=HOSTILE,
        )
        html = carol.get(page(failure)).content.decode()
        assert "<img src=x" not in html
        # Eight facts, three of the cause, the traceback, the frame.
        assert html.count("&lt;img src=x onerror=alert(1)&gt;") >= 13

    def test_shows_characters_that_would_turn_the_text_around(self) -> None:
        assert cells.visible("ab\u202ecd\x1b[31m\ttab\nline é 💥") == "ab\\u202ecd\\x1b[31m\ttab\nline é 💥"

    def test_costs_the_same_for_every_failure(self, carol: Client, django_assert_num_queries: object) -> None:
        failure = store()
        carol.get(page(failure))
        for _ in range(50):
            store()
        # login session, user, two for permissions, the failure, how many have its cause, the name of its user
        with django_assert_num_queries(7):  # type: ignore[operator]
            carol.get(page(failure))

    @pytest.mark.parametrize("key", ["00000000-0000-0000-0000-000000000000", "nonsense", "1"])
    def test_leads_back_when_the_failure_is_gone(self, carol: Client, key: str) -> None:
        assert carol.get(f"{LIST}{key}/change/").status_code == 302
