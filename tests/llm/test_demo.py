"""The demo provider: a newcomer's first questions have answers of their own; what broke off goes on where it did."""

from __future__ import annotations

import contextlib
import re

import pytest

from chat.conf import ChatSettings
from chat.llm import demo_answers
from chat.llm.base import ReplyRequest, Turn
from chat.llm.demo import DemoBackend
from errors.exceptions import ChatError


def test_each_suggestion_of_the_page_has_an_answer_of_its_own():
    answers = {demo_answers.answer(question, is_brief=False) for question in ChatSettings().suggestions}
    assert len(answers) == len(ChatSettings().suggestions) == 3
    assert demo_answers.answer("Zanzibar", is_brief=False) not in answers


@pytest.mark.parametrize(
    ("question", "word"),
    [
        ("How do I plug in a model?", "CHAT_PROVIDER"),
        ("What happens when I reload the tab?", "resume"),
        ("What can go wrong?", "/fault"),
        ("How do I deploy this in production?", "SECRET_KEY"),
    ],
)
def test_a_question_about_something_is_answered_about_it(question, word):
    assert word in demo_answers.answer(question, is_brief=False)


@pytest.mark.parametrize("question", [*ChatSettings().suggestions, "hello", "Zanzibar"])
def test_brief_is_one_sentence(question):
    brief = demo_answers.answer(question, is_brief=True)
    assert len(brief) < 160
    assert re.fullmatch(r"[A-Z][^\n]*[^.:]\.", brief)


@pytest.mark.parametrize("question", ["/fault midstream", "/fault slow", "Tell me a short story"])
async def test_what_broke_off_goes_on_where_it_did(question, configure, monkeypatch):
    configure(fault_commands=True)
    monkeypatch.setattr("chat.llm.demo._SLOW_S", 0.01)
    begun = ""
    with contextlib.suppress(ChatError):
        async for piece in DemoBackend().stream(request(question)):
            begun += str(piece)
            if question != "/fault midstream" and len(begun) > 20:
                break
    rest = "".join([str(piece) async for piece in DemoBackend().stream(request(question, begun))])
    assert len(begun) > 20
    assert rest
    assert re.search(r"[a-z,] [a-z]", f"{begun[-2:]}{rest[:1]}")
    assert rest.rstrip().endswith(".")


def request(question: str, partial_text: str = "") -> ReplyRequest:
    return ReplyRequest("demo", (Turn("user", question),), attempt=2 if partial_text else 1, partial_text=partial_text)
