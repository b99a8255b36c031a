"""The message box and the log above it: what is typed never moves what is read, and the focus is never lost."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.services.process import wait_until

LINES = "\n".join(f"line {number}" for number in range(9))
FROM_END = "(({ scrollHeight, scrollTop, clientHeight }) => scrollHeight - scrollTop - clientHeight)(log)"
KEY_MAX_MS = 50
SCREEN = {"viewport": {"width": 390, "height": 800}, "has_touch": True, "is_mobile": True}


def expect_end_in_view(alice):
    wait_until(lambda: abs(alice.page.evaluate(FROM_END)) < 2, "the end of the conversation is in view")
    expect(alice.page.get_by_role("button", name="Latest messages")).to_be_hidden()


def test_a_draft_of_many_lines_leaves_the_end_in_view(alice, picture):
    alice.ask("show markdown")
    expect_end_in_view(alice)
    alice.box.fill(LINES)
    expect_end_in_view(alice)
    picture(alice.page, "draft")
    alice.box.fill("")
    expect_end_in_view(alice)
    alice.box.focus()
    for number in range(7):
        alice.page.keyboard.type(f"line {number}")
        alice.page.keyboard.press("Shift+Enter")
        expect_end_in_view(alice)


def test_an_answer_is_followed_while_a_draft_grows(alice):
    question = alice.say("show markdown slowly")
    expect(alice.replies.last).to_contain_text("How a message travels")
    wait_until(lambda: alice.page.evaluate("log.scrollTop") > 0, "the answer is longer than the log is high")
    alice.box.fill(LINES)
    alice.expect_state(question, "Answered")
    expect_end_in_view(alice)


def test_who_reads_further_up_is_left_there(alice):
    alice.ask("show markdown")
    alice.page.locator("#log").hover()
    alice.page.mouse.wheel(0, -600)
    jump = alice.page.get_by_role("button", name="Latest messages")
    expect(jump).to_be_visible()
    alice.box.fill(LINES)
    expect(jump).to_be_visible()
    jump.press("Enter")
    expect_end_in_view(alice)
    expect(alice.page.locator("#log")).to_be_focused()


def test_the_first_of_the_earlier_messages_gets_the_focus(alice):
    for number in range(3):
        alice.ask(f"show emoji {number}")

    def in_small_pages(route):
        route.continue_(url=route.request.url.replace("limit=50", "limit=4"))

    alice.page.route("**/chat/sessions/*limit=50*", in_small_pages)
    alice.reload()
    earlier = alice.page.get_by_role("button", name="Show earlier messages")
    earlier.press("Enter")
    expect(earlier).to_be_hidden()
    expect(alice.page.locator(".exchange").first).to_be_focused()
    expect(alice.questions.first).to_contain_text("show emoji 0")


def test_a_text_far_too_long_costs_nothing_at_each_key(alice):
    cost_ms = alice.page.evaluate(
        """() => {
            const box = document.getElementById("composer-text");
            box.value = "Lorem ipsum dolor sit amet\\n".repeat(66_700);
            const begun = performance.now();
            box.dispatchEvent(new Event("input"));
            return performance.now() - begun;
        }"""
    )
    expect(alice.page.get_by_text("1,790,900 characters too long")).to_be_visible()
    expect(alice.page.get_by_role("button", name="Send message")).to_be_disabled()
    assert cost_ms < KEY_MAX_MS
    alice.box.fill("Short enough")
    alice.box.press("Enter")
    expect(alice.questions).to_have_count(1)


def test_where_a_screen_is_touched_enter_begins_a_line(site, sign_in):
    alice = sign_in(site, "alice", **SCREEN)
    expect(alice.box).to_have_attribute("enterkeyhint", "enter")
    alice.box.fill("First line")
    alice.box.press("Enter")
    alice.page.keyboard.type("second line")
    expect(alice.box).to_have_value("First line\nsecond line")
    alice.page.get_by_role("button", name="Send message").tap()
    expect(alice.questions.last.locator(".message-text")).to_have_text("First line\nsecond line")


def test_with_a_keyboard_enter_sends(alice):
    expect(alice.box).to_have_attribute("enterkeyhint", "send")
    alice.say("First")
    expect(alice.questions).to_have_count(1)


class TestStop:
    """While an answer is written, it can be stopped from where one writes, wherever one has scrolled to."""

    @pytest.fixture
    def writing(self, alice):
        question = alice.say("hold")
        expect(alice.replies.last).to_contain_text("This answer has begun")
        return question

    def buttons(self, alice):
        stop = alice.page.get_by_role("button", name="Stop the answer")
        return stop, alice.page.get_by_role("button", name="Send message")

    def test_the_button_stops_and_then_sends_again(self, alice, writing, picture):
        stop, send = self.buttons(alice)
        expect(stop).to_be_visible()
        expect(send).to_be_hidden()
        picture(alice.page, "composer-stop")
        stop.click()
        alice.expect_state(writing, "Answer stopped")
        expect(stop).to_be_hidden()
        expect(send).to_be_visible()
        expect(alice.box).to_be_focused()

    def test_what_is_typed_meanwhile_can_be_sent(self, alice, writing, picture):
        stop, send = self.buttons(alice)
        alice.box.fill("Something else")
        expect(stop).to_be_visible()
        expect(send).to_be_enabled()
        picture(alice.page, "composer-stop-and-send")
        alice.box.press("Escape")
        alice.expect_state(writing, "Answer stopped")
        expect(alice.box).to_have_value("Something else")

    def test_it_belongs_to_the_open_conversation(self, alice, writing):
        stop, send = self.buttons(alice)
        alice.start_new()
        expect(stop).to_be_hidden()
        expect(send).to_be_visible()
        alice.page.keyboard.press("Escape")
        alice.page.go_back()
        expect(stop).to_be_visible()
        alice.page.keyboard.press("Escape")
        alice.expect_state(writing, "Answer stopped")

    def test_escape_closes_what_is_in_front_first(self, alice, writing):
        stop, _ = self.buttons(alice)
        alice.page.get_by_role("button", name="End conversation").click()
        alice.page.keyboard.press("Escape")
        expect(alice.page.get_by_role("dialog")).to_have_count(0)
        alice.page.get_by_role("button", name="More about").first.click()
        alice.page.keyboard.press("Escape")
        expect(alice.page.locator(".menu")).to_be_hidden()
        alice.menu("hold", "Rename")
        alice.page.keyboard.press("Escape")
        expect(stop).to_be_visible()
        alice.page.keyboard.press("Escape")
        alice.expect_state(writing, "Answer stopped")

    def test_two_clicks_to_send_do_not_stop_what_they_asked_for(self, alice):
        stop, send = self.buttons(alice)
        alice.box.fill("hold")
        box = send.bounding_box()
        place = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        alice.page.mouse.click(*place)
        expect(stop).to_be_visible()
        assert stop.bounding_box() == box
        alice.page.mouse.down(click_count=2)
        alice.page.mouse.up(click_count=2)
        expect(alice.replies.last).to_contain_text("This answer has begun")
        stop.click()
        alice.expect_state(alice.questions.last, "Answer stopped")
