"""Messages that the server does not have yet: what is said of them, and what can be done about them."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from tests.browser.chat_page import ChatPage
from tests.browser.test_failures import refusal

BUSY = {"code": "SERVER_BUSY", "message": "The service is busy.", "actions": ["retry"], "retry_after": 60_000}


@pytest.fixture
def held(wired):
    """A message that the server refused for a minute, and the page and the wire it came over."""
    alice, wire = wired
    alice.ask("Hello")
    wire.copies_up = lambda frame: frame["type"] != "user_message"
    question = alice.say("First")
    alice.expect_state(question, "Sending")
    wire.tell(refusal(BUSY, ref=wire.lost[-1]["ref"], session_id=alice.session_id))
    alice.expect_state(question, "Not sent yet, trying again")
    wire.copies_up = lambda frame: 1
    return alice, question


def test_a_message_that_waits_is_not_said_to_be_lost(held, picture):
    alice, _ = held
    expect(alice.card).to_contain_text(re.compile(r"Trying again automatically in \d+ s"))
    expect(alice.card).not_to_contain_text("Your message was not sent.")
    alice.say("Second")
    states = alice.page.locator(".question .message-state")
    expect(states).to_have_text(["Answered", "Not sent yet, trying again", "Waiting for the message before it"])
    picture(alice.page, "held")


def test_a_message_that_waits_is_told_as_such_when_the_person_comes_back(held):
    alice, _ = held
    alice.start_new()
    alice.go_to("Hello")
    alice.expect_state(alice.questions.filter(has_text="First"), "Not sent yet, trying again")
    alice.card.get_by_role("button", name="Do not try again").click()
    alice.expect_state(alice.questions.filter(has_text="First"), "Not sent")


def test_a_message_that_waits_can_be_called_off(held):
    alice, _ = held
    alice.say("Second")
    alice.card.get_by_role("button", name="Do not try again").click()
    alice.expect_state(alice.questions.filter(has_text="Second"), "Answered")
    alice.expect_state(alice.questions.filter(has_text="First"), "Not sent")
    expect(alice.card).to_contain_text("Your message was not sent.")
    alice.card.get_by_role("button", name="Send again").click()
    expect(alice.card).to_have_count(0)
    expect(alice.past_failures).to_contain_text("Sent after a failure")
    assert [message["content"] for message in alice.stored() if message["sender"] == "user"][1:] == ["Second", "First"]


def test_a_message_that_waits_can_be_taken_back_when_its_time_passes_without_a_connection(wired):
    alice, wire = wired
    alice.ask("Hello")
    wire.copies_up = lambda frame: frame["type"] != "user_message"
    question = alice.say("First")
    alice.expect_state(question, "Sending")
    error = BUSY | {"retry_after": 1_500}
    wire.tell(refusal(error, ref=wire.lost[-1]["ref"], session_id=alice.session_id))
    expect(alice.card.get_by_role("button", name="Do not try again")).to_be_visible()
    expect(alice.card).to_contain_text("Sending again")
    expect(alice.card.get_by_role("button", name="Edit")).to_be_disabled()
    wire.cut(4502)
    alice.expect_state(question, "Perhaps not saved")  # the second sending was not answered
    expect(alice.card).to_contain_text("It is not certain whether your message was saved.")
    expect(alice.card).not_to_contain_text("Sending again")
    alice.card.get_by_role("button", name="Edit").click()
    expect(alice.box).to_have_value("First")
    expect(alice.questions).to_have_count(1)


def test_a_message_that_was_sent_again_is_not_said_to_be_unsent_when_the_connection_breaks(wired, picture):
    """In the list, too; and it is sent until the server has answered."""
    alice, wire = wired
    wire.copies_up = lambda frame: frame["type"] != "user_message"
    question = alice.say("First")
    expect(alice.unsent).to_contain_text("Not sent yet")
    wire.tell(refusal(BUSY | {"retry_after": 1_000}, ref=wire.lost[-1]["ref"]))
    alice.expect_state(question, "Not sent yet, trying again")
    expect(alice.unsent).to_contain_text("Not sent yet")
    expect(alice.card).to_contain_text("Sending again")
    expect(alice.card.get_by_role("button", name="Edit")).to_be_disabled()
    wire.cut()
    alice.expect_state(question, "Perhaps not saved")
    expect(alice.card).to_contain_text("It is not certain whether your message was saved.")
    expect(alice.unsent).to_contain_text("Perhaps not saved")
    picture(alice.page, "in-doubt")
    wire.copies_up = lambda frame: 1
    wire.cut()
    alice.expect_state(question, "Answered")
    expect(alice.card).to_have_count(0)
    expect(alice.unsent).to_have_count(0)


def test_a_message_that_waits_can_be_edited(held):
    alice, _ = held
    alice.card.get_by_role("button", name="Edit").click()
    expect(alice.box).to_have_value("First")
    expect(alice.questions).to_have_count(1)
    alice.ask("Better")
    assert "First" not in [message["content"] for message in alice.stored()]


def test_a_message_that_waits_can_be_removed(held):
    alice, _ = held
    alice.say("Second")
    alice.card.get_by_role("button", name="Remove").click()
    alice.expect_state(alice.questions.last, "Answered")
    expect(alice.questions).to_have_count(2)


def test_what_a_closed_tab_has_not_sent_is_sent_by_the_next_one(wired):
    """Both to a conversation and for a new one; and each is stored once although the tab may have sent it."""
    alice, wire = wired
    alice.ask("Talk about plums")
    session_id = alice.session_id
    wire.copies_down = lambda frame: frame["type"] not in {"ack", "user_message"}
    alice.say("And what of plum jam?")
    alice.start_new()
    wire.copies_up = lambda frame: frame["type"] != "user_message"
    alice.say("Talk about cherries, and close")
    expect(alice.unsent).to_have_text(re.compile("Talk about cherries, and close"))
    context = alice.page.context
    alice.page.close()
    other = ChatPage(context.new_page(), alice.visitor)
    other.open("/chat/")
    expect(other.questions).to_have_count(1)
    other.expect_state(other.questions.last, "Answered")
    assert [message["content"] for message in other.stored()][::2] == ["Talk about cherries, and close"]
    expect(other.unsent).to_have_count(0)
    other.go_to("Talk about plums")
    other.expect_state(other.questions.filter(has_text="plum jam"), "Answered")
    said = [message["content"] for message in other.stored(session_id) if message["sender"] == "user"]
    assert said == ["Talk about plums", "And what of plum jam?"]


def test_who_is_signed_out_is_offered_one_way_to_go_on(wired, picture):
    alice, wire = wired
    alice.ask("Hello")
    wire.copies_up = lambda frame: frame["type"] != "user_message"
    refused = alice.say("Refused")
    auth = {"code": "UNAUTHORIZED", "category": "auth", "message": "Please sign in.", "actions": ["sign_in"]}
    wire.tell(refusal(auth, ref=wire.lost[-1]["ref"], session_id=alice.session_id))
    alice.expect_state(refused, "Not sent")
    wire.cut(4502)
    expect(alice.line).to_contain_text("Please sign in again")
    expect(alice.page.get_by_role("link", name="Sign in")).to_have_count(1)
    expect(alice.offer("Send again")).to_have_count(0)
    waiting = alice.say("Waiting")
    alice.expect_state(waiting, "Not sent yet. Sign in to send it.")
    picture(alice.page, "signed-out")


def test_who_has_no_access_is_not_told_to_wait(wired):
    alice, wire = wired
    wire.cut(4503)
    alice.expect_state(alice.say("Hello?"), "Not sent")


def test_a_message_beyond_three_answers_waits_for_one_of_them_and_is_refused_once(own_site, sign_in, picture):
    alice = sign_in(own_site, "alice")
    for number in range(3):
        alice.expect_state(alice.say("hold"), "Saved")
        expect(alice.replies).to_have_count(number + 1)
        expect(alice.replies.last).to_contain_text("This answer has begun")
    question = alice.say("Hello")
    alice.expect_state(question, "Sent when another answer is finished")
    expect(alice.card).to_have_count(0)
    picture(alice.page, "waits-for-an-answer")
    alice.expect_state(question, "Answered")  # nine seconds later; the server asks to come back after three
    expect(alice.past_failures).to_be_hidden()
    script = (
        "from errors.models import RoutingFailure; from django.contrib.auth import get_user_model; "
        "alice = get_user_model().objects.get(username='alice'); "
        "print(RoutingFailure.objects.filter(user_id=alice.pk).count())"
    )
    assert own_site.manage("shell", "--no-imports", "--command", script).stdout.split() == ["1"]


def test_a_message_that_waits_for_an_answer_can_be_taken_back(own_site, sign_in):
    alice = sign_in(own_site, "alice")
    for _ in range(3):
        alice.expect_state(alice.say("hold"), "Saved")
    alice.expect_state(alice.say("Hello"), "Sent when another answer is finished")
    alice.offer("Edit").click()
    expect(alice.box).to_have_value("Hello")
    expect(alice.questions).to_have_count(3)
