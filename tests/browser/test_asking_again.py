"""An answer that was stopped, broke off or failed: how it goes on, and what is offered for it."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import VARIABLES
from tests.browser.provider import PARTS


def end_conversation(alice):
    alice.page.get_by_role("button", name="End conversation").click()
    alice.page.get_by_role("dialog").get_by_role("button", name="End conversation").click()
    expect(alice.page.get_by_text("This conversation has ended.")).to_be_visible()


def stop(alice, text):
    question = alice.say(text)
    expect(alice.replies.last).to_contain_text("This answer has begun")
    alice.offer("Stop").click()
    alice.expect_state(question, "Answer stopped")
    return question


def test_an_answer_that_goes_on_offers_no_longer_to_go_on(alice, picture):
    question = stop(alice, "hold")
    expect(alice.offer("Try again")).to_be_visible()
    picture(alice.page, "stopped")
    alice.offer("Continue").click()
    alice.expect_state(question, "Answered")
    for _ in range(2):
        expect(alice.replies).to_have_count(1)
        expect(alice.replies).to_contain_text("This answer has begun and goes on.")
        expect(alice.replies.locator(".message-meta")).to_contain_text("Continued")
        expect(alice.replies).not_to_contain_text("Stopped here")
        expect(alice.replies.get_by_role("button")).to_have_count(1)  # copies it
        alice.reload()


def test_an_answer_in_several_parts_is_one_answer(site, alice, sign_in, picture):
    """While it is written, when it breaks off again, when it is whole, on another device and after a reload."""
    alice.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    alice.ask("parts", state="Answered in part")
    phone = sign_in(site, "alice", path=f"/chat/s/{alice.session_id}/", viewport={"width": 390, "height": 800})
    code = "a = 1\n"
    for line, state in (("b = 2\n", "Answered in part"), ("c = 3\n", "Answered")):
        for device in (alice, phone):
            expect(device.replies).to_have_count(1)
            expect(device.replies.locator(".code-block code")).to_have_text(code)
            expect(device.replies).to_contain_text("Cut off here")
        picture(alice.page, f"cut-off-{len(code)}")
        alice.card.get_by_role("button", name="Continue").click()
        code += line
        expect(alice.replies.locator(".code-block code")).to_have_text(code)
        alice.expect_state(alice.questions.last, state)
    for device in (alice, phone):
        for _ in range(2):
            expect(device.replies).to_have_count(1)
            expect(device.replies.locator(".code-block")).to_have_count(1)
            expect(device.replies.locator(".code-block code")).to_have_text(code)
            expect(device.replies.locator("strong")).to_have_text("was")
            expect(device.replies.locator(".message-meta")).to_contain_text("Continued")
            expect(device.card).to_have_count(0)
            expect(device.past_failures.locator("summary")).to_have_text("Continued after 2 failures")
            picture(device.page, f"continued-{device.page.viewport_size['width']}")
            device.reload()
    alice.replies.get_by_role("button", name="Copy this answer").click()
    expect(alice.replies.get_by_role("status")).to_have_text("Copied")
    assert alice.page.evaluate("navigator.clipboard.readText()") == "".join(PARTS)
    assert [message["content"] for message in alice.stored()] == ["parts", *PARTS]


def test_a_continuation_that_fails_can_be_continued(alice):
    alice.ask("falter", state="Answered in part")
    question = alice.questions.last
    alice.card.get_by_role("button", name="Continue").click()
    alice.expect_state(question, "Saved, no answer")
    for _ in range(2):
        expect(alice.replies).to_have_count(1)
        expect(alice.replies).to_contain_text("The beginning of it,")
        expect(alice.replies).to_contain_text("Cut off here")
        expect(alice.card).to_have_attribute("data-code", "LLM_UNAVAILABLE")
        expect(alice.offer("Continue")).to_be_visible()
        alice.reload()
    alice.offer("Continue").click()
    alice.expect_state(question, "Answered")
    expect(alice.replies).to_have_count(1)
    expect(alice.replies).to_contain_text("The beginning of it,")


def test_continue_says_what_it_does(wired):
    alice, wire = wired
    stop(alice, "hold")
    wire.copies_up = lambda frame: frame["type"] != "retry"
    alice.offer("Continue").click()
    expect(alice.offer("Continuing")).to_be_visible()
    alice.offer("Continuing").press("Enter")
    assert len(wire.lost) == 1


def test_a_stopped_answer_can_be_asked_for_anew(alice):
    question = stop(alice, "hold")
    alice.offer("Try again").click()
    expect(alice.replies).to_have_count(2)
    expect(alice.replies.last).to_contain_text("This answer has begun")
    alice.offer("Stop").click()
    alice.expect_state(question, "Answer stopped")


def test_what_was_stopped_before_its_first_word_can_be_asked_for_again(alice, picture):
    question = alice.say("mute 2")
    alice.offer("Stop").click()
    alice.expect_state(question, "Answer stopped")
    expect(alice.replies.last).to_contain_text("Stopped before its first word")
    expect(alice.replies.last.get_by_role("button")).to_have_text(["Try again"])
    picture(alice.page, "stopped-before-the-first-word")
    alice.reload()
    alice.expect_state(question, "Answer stopped")
    alice.offer("Try again").click()
    alice.offer("Stop").click()
    alice.expect_state(question, "Answer stopped")
    alice.offer("Try again").click()
    alice.expect_state(question, "Answered")
    expect(alice.replies).to_have_count(1)


def test_the_newest_answer_says_how_it_stands_also_after_a_reload(alice):
    """An older answer that left a text comes after it in the history."""
    alice.ask("falter", state="Answered in part")
    alice.card.get_by_role("button", name="Try again").click()
    alice.expect_state(alice.questions.last, "Saved, no answer")
    expect(alice.card).to_have_attribute("data-code", "LLM_UNAVAILABLE")
    alice.reload()
    alice.expect_state(alice.questions.last, "Saved, no answer")
    expect(alice.card).to_have_attribute("data-code", "LLM_UNAVAILABLE")
    expect(alice.replies.first).to_contain_text("The beginning of it,")


def test_what_was_made_good_is_one_quiet_line(alice, picture):
    alice.ask("break", state="Answered in part")
    alice.card.get_by_role("button", name="Continue").click()
    alice.expect_state(alice.questions.last, "Answered")
    line = alice.past_failures.get_by_text("Continued after a failure")
    expect(line).to_be_visible()
    expect(alice.past_failures.locator(".reference")).to_be_hidden()
    picture(alice.page, "past-failure")
    line.click()
    expect(alice.past_failures.locator(".reference")).to_contain_text(re.compile("E-....-...."))


@pytest.mark.parametrize("is_reloaded", [False, True], ids=["at once", "after a reload"])
def test_nothing_is_offered_that_an_ended_conversation_refuses(alice, picture, is_reloaded):
    stop(alice, "hold")
    alice.ask("break", state="Answered in part")
    alice.ask("/fault unavailable", state="Saved, no answer")
    expect(alice.offer("Try again")).to_have_count(3)
    end_conversation(alice)
    if is_reloaded:
        alice.page.reload()
    expect(alice.card).to_have_count(2)
    expect(alice.card.last).to_contain_text("Reference")
    for name in ("Continue", "Try again", "Choose another model"):
        expect(alice.offer(name)).to_have_count(0)
    picture(alice.page, "ended-with-failures")


def test_another_model_need_not_wait(alice):
    question = alice.say("busy 1 60000")
    alice.card.get_by_role("button", name="Do not try again").click()
    expect(alice.card.get_by_role("button", name=re.compile(r"Try again in \d+ s"))).to_be_disabled()
    alice.page.get_by_label("Model", exact=True).select_option("demo-brief")
    alice.offer("Try again").click()
    alice.expect_state(question, "Answered")


def test_another_model_is_not_waited_for_by_itself(alice):
    question = alice.say("busy 1 60000")
    expect(alice.card).to_contain_text("Trying again automatically")
    alice.card.get_by_role("button", name="Choose another model").click()
    picker = alice.page.get_by_label("Model", exact=True)
    expect(picker).to_be_focused()
    picker.select_option("demo-brief")
    alice.offer("Try again").click()
    alice.expect_state(question, "Answered")


def test_an_answer_whose_beginning_is_on_an_earlier_page_is_one_answer_once_that_is_shown(start_daphne, sign_in):
    alice = sign_in(start_daphne(variables={**VARIABLES, "CHAT_HISTORY_PAGE": "2"}), "alice")
    alice.ask("parts", state="Answered in part")
    for state in ("Answered in part", "Answered"):
        reference = alice.card.locator("code").text_content()
        alice.offer("Continue").click()
        expect(alice.card.get_by_text(str(reference))).to_have_count(0)
        alice.expect_state(alice.questions.last, state)
    alice.reload()
    expect(alice.questions).to_have_count(0)
    expect(alice.replies).to_have_count(1)
    expect(alice.page.get_by_text("Earlier messages were not shown")).to_be_hidden()
    alice.page.emulate_media(media="print")
    expect(alice.page.get_by_text("Earlier messages were not shown")).to_be_visible()
    alice.page.emulate_media(media="null")
    alice.offer("Show earlier messages").click()
    expect(alice.questions).to_have_count(1)
    expect(alice.replies).to_have_count(1)
    expect(alice.replies.locator(".code-block code")).to_have_text("a = 1\nb = 2\nc = 3\n")
    expect(alice.replies.locator("strong")).to_have_text("was")
    expect(alice.past_failures.locator("summary")).to_have_text("Continued after 2 failures")
