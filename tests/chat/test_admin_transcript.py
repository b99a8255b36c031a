"""The page of one session in the admin: the conversation as it was, its failures one click away, and back."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.test import Client, RequestFactory
from django.utils import timezone

from chat import admin_links, admin_transcript
from chat.models import ChatMessage, ChatSession, Reply
from errors.models import RoutingFailure
from tests.chat.talks import answer, fail, page, reader, say, session, staff
from tests.errors.stored import LIST as FAILURES
from tests.errors.stored import page as failure_page
from tests.errors.stored import references, store, words

pytestmark = pytest.mark.django_db

HOSTILE = "</div></script><img src=x onerror=alert(1)>\n  {{ 7*7 }} \u202eabc\x1b[31m \"'"


@pytest.fixture
def talk() -> ChatSession:
    return session(get_user_model().objects.create_user("alice"))


@pytest.fixture
def rita() -> Client:
    return reader()


def fill(talk: ChatSession, count: int) -> None:
    """Messages "no. 1" and so on."""
    talk.last_seq = count
    talk.save()
    ChatMessage.objects.bulk_create(
        ChatMessage(session=talk, seq=seq, sender="user", content=f"line {seq}") for seq in range(1, count + 1)
    )


def lines(response: Any) -> list[int]:
    return [line.seq for line in response.context["transcript"].lines]


class TestTranscript:
    def test_tells_the_conversation_in_order(self, rita: Client, talk: ChatSession) -> None:
        asked = say(talk, "Can you help me?")
        reference = fail(asked)
        answer(asked, "Yes.", attempt=2, model_id="demo", first_token_ms=800, prompt_tokens=12, completion_tokens=34)
        answer(say(talk, "And now?"), "The begin", "partial")
        text = words(rita.get(page(talk)).content.decode())
        story = [
            "4 messages",
            "Person", "Can you help me?",
            "Answer 1 : failed; nothing had arrived", "LLM_UNAVAILABLE", reference,
            "Answer 2 : complete , demo, first word after 800 ms, 3.4 s in all, 12 tokens read, 34 written",
            "Assistant", "complete", "Yes.",
            "And now?", "Answer : broke off; what had arrived is kept",
            "Assistant", "broke off", "The begin",
        ]  # fmt: skip
        start = text.index("Conversation")
        for fact in story:
            normal = text.replace(" :", ":").replace(" ,", ",")
            place = normal.find(fact.replace(" :", ":").replace(" ,", ","), start)
            assert place != -1, fact
            start = place

    def test_tells_what_failed_at_once_in_milliseconds_and_apart(self, rita: Client, talk: ChatSession) -> None:
        reference = fail(say(talk, "hello"))
        Reply.objects.update(created_at=timezone.now(), ended_at=timezone.now() + timedelta(milliseconds=9))
        text = words(rita.get(page(talk)).content.decode()).replace(" ,", ",")
        assert re.search(rf"nothing had arrived, \d+ ms in all, LLM_UNAVAILABLE, {reference}", text)

    def test_says_what_goes_on_from_what(self, rita: Client, talk: ChatSession) -> None:
        """People see both as one answer."""
        asked = say(talk, "Tell me a story.")
        answer(asked, "Once upon", "partial")
        begun = Reply.objects.get(message=asked)
        answer(asked, " a time.", attempt=2, continues=begun.pk, completion_tokens=3)
        text = words(rita.get(page(talk)).content.decode())
        assert "complete , goes on from an answer before it, " in text
        assert text.count("goes on from") == 1

    def test_keeps_white_space_and_runs_nothing(self, rita: Client, talk: ChatSession) -> None:
        answer(say(talk, HOSTILE), HOSTILE)
        html = rita.get(page(talk)).content.decode()
        assert "<img src=x" not in html
        shown = re.findall(r'<div class="transcript-text"[^>]*>(.*?)</div>', html, re.DOTALL)
        assert len(shown) == 2
        for text in shown:
            assert text.startswith(
                "&lt;/div&gt;&lt;/script&gt;&lt;img src=x onerror=alert(1)&gt;\n  {{ 7*7 }} \u202eabc"
            )

    @pytest.mark.parametrize(
        ("state", "said"),
        [("pending", "not begun"), ("streaming", "being written"), ("stopped", "stopped by the person")],
    )
    def test_says_what_became_of_each_answer(self, rita: Client, talk: ChatSession, state: str, said: str) -> None:
        answer(say(talk, "hello"), "", state)
        assert said in words(rita.get(page(talk)).content.decode())

    def test_survives_an_odd_error_and_an_odd_sender(self, rita: Client, talk: ChatSession) -> None:
        asked = say(talk, "hello", "robot")
        answer(asked, "hi", error=[HOSTILE])
        answer(asked, "hi", error={"code": HOSTILE, "reference": HOSTILE}, attempt=2)
        html = rita.get(page(talk)).content.decode()
        assert "Robot" in words(html)
        assert "<img src=x" not in html

    def test_cuts_a_message_that_nobody_reads_here(self, rita: Client, talk: ChatSession) -> None:
        say(talk, "x" * (admin_transcript.MAX_SHOWN_CHARS + 7))
        response = rita.get(page(talk))
        assert "7 more characters are not shown here." in words(response.content.decode())
        assert len(response.content) < admin_transcript.MAX_SHOWN_CHARS + 60_000

    def test_says_so_when_nothing_was_said(self, rita: Client, talk: ChatSession) -> None:
        assert "Nothing has been said yet." in words(rita.get(page(talk)).content.decode())

    def test_says_whether_a_session_is_open(self, rita: Client, talk: ChatSession) -> None:
        assert "State open Started" in words(rita.get(page(talk)).content.decode())
        ChatSession.objects.update(ended_at=timezone.now())
        assert "State ended Started" in words(rita.get(page(talk)).content.decode())

    def test_shows_when_a_session_ended(self, rita: Client, talk: ChatSession) -> None:
        assert "Ended" not in words(rita.get(page(talk)).content.decode())
        ChatSession.objects.update(ended_at=timezone.now() - timedelta(days=1))
        assert "Ended (UTC)" in words(rita.get(page(talk)).content.decode())

    @pytest.mark.parametrize("key", ["00000000-0000-0000-0000-000000000000", "nonsense"])
    def test_leads_back_when_the_session_is_gone(self, rita: Client, key: str) -> None:
        assert rita.get(f"/admin/chat/chatsession/{key}/change/").status_code == 302


class TestPages:
    @pytest.mark.parametrize(
        ("query", "first", "last"),
        [
            ("", 101, 120),
            ("?page=1", 1, 50),
            ("?page=2", 51, 100),
            ("?page=0", 1, 50),
            ("?page=99", 101, 120),
            ("?page=-1", 101, 120),
            ("?page=x", 101, 120),
            ("?page=9999999999999999999", 101, 120),
            ("?message=nonsense", 101, 120),
            ("?message=00000000-0000-0000-0000-000000000000", 101, 120),
        ],
    )
    def test_a_long_conversation_comes_in_pages(
        self, rita: Client, talk: ChatSession, query: str, first: int, last: int
    ) -> None:
        fill(talk, 120)
        response = rita.get(page(talk) + query)
        assert lines(response) == list(range(first, last + 1))
        assert f"Messages {first} to {last} of 120" in words(response.content.decode())

    def test_each_page_leads_to_the_others(self, rita: Client, talk: ChatSession) -> None:
        fill(talk, 120)
        html = rita.get(f"{page(talk)}?page=2").content.decode()
        assert html.count('href="?page=1"') >= 2
        assert html.count('href="?page=3"') >= 2
        assert 'href="?page=' not in rita.get(page(session(talk.owner))).content.decode()

    def test_opens_where_the_message_is(self, rita: Client, talk: ChatSession) -> None:
        fill(talk, 120)
        wanted = ChatMessage.objects.get(seq=7)
        response = rita.get(f"{page(talk)}?message={wanted.pk}")
        assert lines(response)[0] == 1
        assert f'id="message-{wanted.pk}" aria-current="true"' in response.content.decode()

    def test_cost_the_same_for_one_message_and_for_a_page_of_them(
        self, rita: Client, talk: ChatSession, django_assert_num_queries: Any
    ) -> None:
        for number in (1, 30):
            for _ in range(number):
                asked = say(talk, "hello")
                fail(asked)
                answer(asked, "hi", attempt=2)
            # login session, user, two for permissions, the session twice, messages, replies to and of them, the owner
            with django_assert_num_queries(10):
                rita.get(page(talk))


class TestLinks:
    def test_lead_from_a_failure_to_the_message_and_back(self, rita: Client, talk: ChatSession) -> None:
        asked = say(talk, "hello")
        reference = fail(asked)
        failure = RoutingFailure.objects.get()
        html = rita.get(failure_page(failure)).content.decode()
        link = f"{page(talk)}?message={asked.pk}#message-{asked.pk}"
        assert f'href="{link}">Open the conversation</a>' in html
        back = rita.get(link).content.decode()
        assert f'href="{FAILURES}lookup/?q={reference}"' in back
        assert rita.get(f"{FAILURES}lookup/", {"q": reference})["Location"] == failure_page(failure)
        assert f'href="{FAILURES}?session_id={talk.pk}"' in back
        assert references(rita.get(FAILURES, {"session_id": str(talk.pk)})) == [reference]

    def test_show_only_what_the_reader_may_follow(self, talk: ChatSession) -> None:
        reference = fail(say(talk, "hello"))
        failure = RoutingFailure.objects.get()
        only_failures = staff("carol", "view_routingfailure")
        assert "Open the conversation" not in only_failures.get(failure_page(failure)).content.decode()
        only_sessions = staff("vera", "view_chatsession", "read_transcript")
        html = only_sessions.get(page(talk)).content.decode()
        assert reference in html
        assert FAILURES not in html
        may_not_read = staff("sam", "view_chatsession", "view_routingfailure")
        assert f'href="{page(talk)}">Open' in may_not_read.get(failure_page(failure)).content.decode()

    @pytest.mark.parametrize("session_id", ["", "nonsense", HOSTILE, "00000000-0000-0000-0000-000000000000", "0" * 128])
    def test_are_left_out_where_there_is_no_such_session(self, rita: Client, session_id: str) -> None:
        response = rita.get(failure_page(store(session_id=session_id)))
        assert response.status_code == 200
        assert "Open the conversation" not in response.content.decode()

    def test_are_left_out_where_the_project_has_no_such_page(
        self, rita: Client, talk: ChatSession, settings: Any
    ) -> None:
        settings.ERRORS = {"conversation_link": ""}
        response = rita.get(failure_page(store(session_id=str(talk.pk))))
        assert "Open the conversation" not in response.content.decode()

    def test_are_left_out_where_the_admin_has_no_conversations(
        self, rita: Client, talk: ChatSession, settings: Any, rf: RequestFactory
    ) -> None:
        request = rf.get("/")
        request.user = get_user_model().objects.create_superuser("root")
        failure = store(session_id=str(talk.pk))
        assert admin_links.conversation(request, failure)
        settings.ROOT_URLCONF = "errors.urls"
        assert admin_links.conversation(request, failure) is None
