"""Every failure as a person sees it: one sentence, what became of the message, what to do, and a reference."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

REFERENCE = re.compile(r"E-[0-9A-Z]{4}-[0-9A-Z]{4}")
BY_ITSELF = re.compile(r"Trying again automatically|Asking again")


@pytest.mark.parametrize(
    ("kind", "code", "state"),
    [
        ("unavailable", "LLM_UNAVAILABLE", "Saved, no answer"),
        ("timeout", "LLM_TIMEOUT", "Saved, no answer"),
        ("crash", "SERVICE_ERROR", "Saved, no answer"),
        ("midstream", "REPLY_INTERRUPTED", "Answered in part"),
    ],
)
def test_an_answer_that_fails_can_be_asked_for_again(alice, picture, kind, code, state):
    alice.ask(f"/fault {kind}", state=state)
    expect(alice.card).to_have_attribute("data-code", code)
    reference = REFERENCE.search(alice.card.inner_text())
    assert reference
    picture(alice.page, f"fault-{kind}")
    alice.reload()
    expect(alice.card).to_contain_text(reference[0])  # the same card, not another failure
    alice.card.get_by_role("button", name="Try again").click()
    alice.expect_state(alice.questions.last, "Answered")
    expect(alice.card).to_have_count(0)
    expect(alice.past_failures).to_contain_text("Answered after a failure")
    expect(alice.past_failures).to_contain_text(reference[0])
    assert [message["sender"] for message in alice.stored()].count("user") == 1


@pytest.mark.parametrize(("kind", "code"), [("ratelimit", "TOO_MANY_REQUESTS"), ("database", "DATABASE_ERROR")])
def test_a_message_that_was_refused_for_a_while_is_sent_again_by_itself(alice, picture, kind, code):
    question = alice.say(f"/fault {kind}")
    expect(alice.card).to_have_attribute("data-code", code)
    expect(alice.card).to_contain_text(BY_ITSELF)
    picture(alice.page, f"fault-{kind}")
    alice.expect_state(question, "Answered")
    expect(alice.card).to_have_count(0)
    expect(alice.past_failures).to_contain_text("Sent after a failure")
    expect(alice.past_failures).to_contain_text(REFERENCE)
    assert [message["sender"] for message in alice.stored()] == ["user", "ai"]


def test_a_connection_that_cannot_join_is_told_and_the_message_can_be_sent_again(alice, picture):
    alice.ask("/fault registration")
    alice.reload()
    expect(alice.card).to_contain_text("Failed to establish session connection")
    picture(alice.page, "fault-registration")
    alice.card.get_by_role("button", name="Try again").click()
    expect(alice.card).to_have_count(0)
    expect(alice.ask("Hello")).to_contain_text("Hello!")


def test_who_is_signed_out_is_asked_to_sign_in_and_keeps_the_message(site, sign_in, picture):
    alice = sign_in(site, "alice")
    alice.start_new()
    question = alice.say("/fault auth")
    alice.expect_state(question, "Not sent")
    expect(alice.line).to_contain_text("Please sign in again")
    expect(alice.line.get_by_role("link", name="Sign in")).to_have_attribute(
        "href", re.compile(r"^/chat/login/\?next=")
    )
    picture(alice.page, "fault-auth")


def test_a_slow_answer_can_be_stopped_and_continued(alice):
    question = alice.say("/fault slow")
    expect(alice.replies.last).to_contain_text("This answer takes")
    alice.offer("Stop").click()
    alice.expect_state(question, "Answer stopped")
    alice.replies.last.get_by_role("button", name="Continue").click()
    alice.expect_state(question, "Answered")
    expect(alice.replies).to_have_count(1)


def test_a_broken_answer_goes_on_where_it_broke(alice):
    alice.ask("break", state="Answered in part")
    alice.card.get_by_role("button", name="Continue").click()
    alice.expect_state(alice.questions.last, "Answered")
    expect(alice.replies).to_have_count(1)
    expect(alice.replies).to_contain_text("The beginning of it, and this is the rest.")


def test_an_answer_is_asked_for_again_at_the_time_that_was_told(alice):
    question = alice.say("busy 2 700")
    expect(alice.card).to_contain_text(BY_ITSELF)
    alice.expect_state(question, "Answered")
    expect(alice.past_failures).to_contain_text("Answered after 2 failures")
    expect(alice.past_failures.locator(".reference")).to_have_count(2)


def test_the_person_may_call_the_repetition_off(alice):
    question = alice.say("busy 1 60000")
    alice.card.get_by_role("button", name="Do not try again").click()
    expect(alice.card.get_by_role("button", name=re.compile(r"Try again in \d+ s"))).to_be_disabled()
    alice.expect_state(question, "Saved, no answer")


def test_the_page_of_the_code_is_one_click_away(alice):
    alice.ask("/fault unavailable", state="Saved, no answer")
    with alice.page.expect_popup() as opened:
        alice.card.get_by_role("link", name="What does this mean?").click()
    expect(opened.value.get_by_role("heading", level=1)).to_be_visible()
    assert "LLM_UNAVAILABLE" in opened.value.url


def test_a_model_that_is_refused_is_not_shown_as_chosen(alice):
    alice.ask("Hello")
    picker = alice.page.get_by_label("Model", exact=True)
    picker.select_option("demo-brief")
    picker.evaluate("(select) => select.add(new Option('Gone', 'gone'))")
    picker.select_option("gone")
    expect(alice.card).to_contain_text("This model is not available.")
    expect(picker).to_have_value("demo-brief")


def refusal(error=None, **fields):
    """An `error` frame as the server sends it."""
    usual = {
        "code": "NOT_FOUND",
        "category": "validation",
        "message": "This was not found.",
        "recoverable": True,
        "outcome": "rejected",
        "reference": "E-7KQ4-M2XW",
        "actions": [],
        "help_url": "/chat/errors/NOT_FOUND",
    }
    head = {"type": "error", "sender": "system", "timestamp": "2026-01-01T00:00:00Z"}
    return {**head, "error": {**usual, **(error or {})}, **fields}


def test_a_failure_that_belongs_to_nothing_on_the_page_is_told_quietly(wired, picture):
    """A typing sign has no `ref`: what went wrong with it answers nothing, and is told all the same."""
    alice, wire = wired
    alice.ask("Hello")
    wire.tell(refusal(session_id=alice.session_id))
    expect(alice.notices).to_contain_text("This was not found.")
    expect(alice.notices).to_contain_text(REFERENCE)
    expect(alice.notices.get_by_role("link", name="What does this mean?")).to_be_visible()
    picture(alice.page, "notice")
    wire.tell(refusal(ref="nobody-waits-for-this"))
    expect(alice.notices).to_contain_text("(2 times)")
    expect(alice.card).to_have_count(0)
    alice.notices.get_by_role("button", name="Dismiss").click()
    expect(alice.notices).to_have_count(0)
    expect(alice.box).to_be_focused()


def test_a_refusal_is_told_also_when_the_person_has_gone_to_another_conversation(wired):
    alice, wire = wired
    alice.ask("The first talk")
    first = alice.session_id
    wire.copies_up = lambda frame: 0
    alice.expect_state(alice.say("On its way"), "Sending")
    alice.start_new()
    wire.tell(refusal(ref=wire.lost[-1]["ref"], session_id=first))
    expect(alice.notices).to_contain_text("Your message was not sent.")
    alice.notices.get_by_role("link", name="In “The first talk”:").click()
    alice.expect_state(alice.questions.last, "Not sent")
    expect(alice.card).to_contain_text("This was not found.")


def test_a_card_is_as_far_from_its_message_whatever_failed(wired):
    alice, wire = wired
    alice.ask("/fault unavailable", state="Saved, no answer")
    wire.copies_up = lambda frame: 0
    alice.expect_state(alice.say("On its way"), "Sending")
    wire.tell(refusal(ref=wire.lost[-1]["ref"], session_id=alice.session_id))
    expect(alice.card).to_have_count(2)
    bottoms = "(parts) => parts.map((part) => part.getBoundingClientRect().bottom)"
    tops = "(cards) => cards.map((card) => card.getBoundingClientRect().top)"
    metas = alice.questions.locator(".message-meta").evaluate_all(bottoms)
    answer, refused = (top - bottom for top, bottom in zip(alice.card.evaluate_all(tops), metas, strict=True))
    assert abs(answer - refused) < 2


def test_a_service_message_is_shown(wired):
    alice, wire = wired
    wire.tell({"type": "notification", "sender": "system", "content": "Maintenance at ten.", "metadata": {}})
    expect(alice.notices).to_contain_text("Maintenance at ten.")


def test_a_page_that_is_told_to_stay_away_says_how_long_and_stays_away(wired, picture):
    alice, wire = wired
    alice.ask("Hello")
    busy = {"code": "CONNECTION_LIMIT_EXCEEDED", "category": "rate_limit", "retry_after": 4_000}
    wire.tell(refusal({**busy, "message": "You have too many connections open."}))
    wire.cut(4405)
    expect(alice.line).to_contain_text("You have too many connections open.")
    expect(alice.line).to_contain_text(re.compile(r"Next try in \d s\."))
    expect(alice.line).to_contain_text(REFERENCE)
    expect(alice.line.get_by_role("button", name="Try now")).to_be_hidden()
    expect(alice.notices).to_have_count(0)  # told once
    picture(alice.page, "told-to-wait")
    alice.wait_connected()
    alice.ask("Am I back?")


def test_a_page_without_access_does_not_come_back(wired):
    alice, wire = wired
    wire.cut(4503)
    expect(alice.line).to_contain_text("You do not have access to this chat.")
    expect(alice.line.get_by_role("button")).to_have_count(0)
