"""Going from one conversation to another while something cannot be loaded or sent: nothing goes out of sight."""

from __future__ import annotations

import re

from playwright.sync_api import expect

from tests.browser.test_failures import refusal

RECONNECT_MS = 40_000
WAITING = "Not sent yet, waiting for the connection"


def refuse_history(chat_page, session_id, status=503):
    """The history of this session is answered so, until what this returns is called."""
    address = re.compile(rf"/chat/sessions/{session_id}")
    body = '{"error": "The service is unavailable right now.", "code": "SERVICE_ERROR"}'
    answer = {"status": status, "body": body, "content_type": "application/json"}
    chat_page.page.route(address, lambda route: route.fulfill(**answer))
    return lambda: chat_page.page.unroute(address)


def test_what_is_written_where_the_history_is_missing_is_told_as_it_stands(alice, picture):
    alice.ask("Talk about apples")
    session_id = alice.session_id
    alice.reload()  # nothing of it is known any more
    alice.start_new()
    allow = refuse_history(alice, session_id)
    alice.go_to("Talk about apples")
    expect(alice.card).to_contain_text("The service is unavailable right now.")
    expect(alice.heading).to_have_text("Talk about apples")
    expect(alice.page).to_have_title("Talk about apples – Switchboard")
    alice.page.reload()
    expect(alice.card).to_be_visible()
    expect(alice.heading).to_have_text("Talk about apples")  # as the list says
    alice.ask("And pears?")
    expect(alice.card.get_by_role("button", name="Try again")).to_be_enabled()
    picture(alice.page, "history-missing")
    allow()
    alice.card.get_by_role("button", name="Try again").click()
    expect(alice.questions.locator(".message-text")).to_have_text(["Talk about apples", "And pears?"])
    expect(alice.replies).to_have_count(2)
    expect(alice.card).to_have_count(0)


def test_a_history_that_could_not_be_loaded_is_loaded_when_a_message_gets_through(alice):
    alice.ask("Talk about plums")
    session_id = alice.session_id
    alice.reload()
    alice.start_new()
    allow = refuse_history(alice, session_id)
    alice.go_to("Talk about plums")
    expect(alice.card).to_be_visible()
    allow()
    alice.say("And figs?")
    expect(alice.questions.locator(".message-text")).to_have_text(["Talk about plums", "And figs?"])
    expect(alice.card).to_have_count(0)
    alice.expect_state(alice.questions.last, "Answered")


def test_the_sign_in_page_of_a_proxy_in_place_of_a_history_is_told(alice):
    alice.ask("Talk about cherries")
    session_id = alice.session_id
    alice.start_new()
    address = re.compile(rf"/chat/sessions/{session_id}")
    page = "<!doctype html><title>Sign in</title>"
    alice.page.route(address, lambda route: route.fulfill(status=200, body=page, content_type="text/html"))
    alice.go_to("Talk about cherries")
    expect(alice.card).to_contain_text("This could not be loaded.")
    expect(alice.questions.locator(".message-text")).to_have_text(["Talk about cherries"])  # as it was before
    alice.page.unroute(address)
    alice.card.get_by_role("button", name="Try again").click()
    expect(alice.card).to_have_count(0)
    expect(alice.replies).to_have_count(1)


def test_what_waits_to_be_sent_is_found_again_in_its_conversation(own_site, sign_in, picture):
    alice = sign_in(own_site, "alice")
    alice.ask("Talk about apples")
    alice.start_new()
    alice.ask("Talk about pears")
    alice.listen()
    own_site.kill()
    expect(alice.line).to_contain_text("Connection lost.")
    alice.expect_state(alice.say("More of them"), WAITING)
    alice.go_to("Talk about apples")
    expect(alice.card).to_contain_text("This could not be loaded.")
    expect(alice.heading).to_have_text("Talk about apples")
    expect(alice.questions.locator(".message-text")).to_have_text(["Talk about apples"])  # as it was before
    expect(alice.replies).to_have_count(1)
    alice.go_to("Talk about pears")
    expect(alice.card).to_contain_text("This could not be loaded.")
    alice.expect_state(alice.questions.last, WAITING)
    expect(alice.questions.locator(".message-text")).to_have_text(["Talk about pears", "More of them"])
    expect(alice.replies).to_have_count(1)
    picture(alice.page, "not-loaded")
    own_site.start()
    expect(alice.line).to_be_hidden(timeout=RECONNECT_MS)
    alice.expect_state(alice.questions.last, "Answered")
    expect(alice.card).to_have_count(0)
    assert [message["content"] for message in alice.stored() if message["sender"] == "user"] == [
        "Talk about pears",
        "More of them",
    ]
    assert not [text for text in alice.heard if "on another device" in text]  # it was said here


def test_a_conversation_that_is_not_sent_yet_stands_in_the_list(own_site, sign_in, picture):
    alice = sign_in(own_site, "alice")
    alice.ask("Talk about apples")
    own_site.kill()
    expect(alice.line).to_contain_text("Connection lost.")
    alice.start_new()
    alice.expect_state(alice.say("First words"), WAITING)
    alice.box.fill("and what I think of")
    alice.go_to("Talk about apples")
    expect(alice.card).to_contain_text("This could not be loaded.")
    expect(alice.unsent).to_have_text("First wordsNot sent yet")
    alice.start_new()
    expect(alice.questions).to_have_count(0)
    picture(alice.page, "not-sent-yet")
    alice.unsent.click()
    expect(alice.unsent).to_have_attribute("aria-current", "true")
    alice.expect_state(alice.questions.last, WAITING)
    expect(alice.box).to_have_value("and what I think of")
    alice.page.go_back()
    expect(alice.questions).to_have_count(0)
    alice.page.go_forward()
    expect(alice.questions).to_have_count(1)
    alice.go_to("Talk about apples")
    own_site.start()
    expect(alice.line).to_be_hidden(timeout=RECONNECT_MS)
    expect(alice.unsent).to_have_count(0)
    expect(alice.titles).to_have_text(["First words", "Talk about apples"])
    alice.go_to("First words")
    alice.expect_state(alice.questions.last, "Answered")
    expect(alice.box).to_have_value("and what I think of")


def test_a_deleted_conversation_is_not_asked_after_any_more(wired):
    alice, wire = wired
    alice.say("hold my coat")
    expect(alice.replies.last).to_contain_text("This answer has begun")
    deleted = alice.session_id
    alice.start_new()
    alice.menu("hold my coat", "Delete")
    alice.page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(alice.page.locator(f"[data-session-id='{deleted}']")).to_have_count(0)
    sent = []
    wire.copies_up = lambda frame: sent.append(frame) or 1
    wire.cut()
    alice.ask("Hello")
    assert deleted not in [frame.get("session_id") for frame in sent]


def test_all_that_was_said_in_a_vanished_conversation_can_be_said_elsewhere(wired):
    alice, wire = wired
    alice.ask("Talk about limes")
    session_id = alice.session_id
    wire.copies_up = lambda frame: frame["type"] != "user_message"
    for text in ("First", "Second"):
        question = alice.say(text)
        alice.expect_state(question, "Sending")
        error = {"code": "NOT_FOUND", "message": "This was not found."}
        wire.tell(refusal(error, ref=wire.lost[-1]["ref"], session_id=session_id))
        alice.expect_state(question, "Not sent")
    alice.start_new()
    refuse_history(alice, session_id, status=404)
    alice.go_to("Talk about limes")
    expect(alice.heading).to_have_text("Conversation not found")
    alice.offer("Edit").first.click()
    expect(alice.page.get_by_role("heading", name="How can I help?")).to_be_visible()
    expect(alice.box).to_have_value("First\nSecond")
    expect(alice.questions).to_have_count(0)


def test_the_title_of_what_is_not_sent_ends_in_a_whole_character(wired):
    alice, wire = wired
    wire.copies_up = lambda frame: frame["type"] != "user_message"
    alice.say("x" * 79 + "\N{LEMON} and more")
    expect(alice.unsent).to_have_text("x" * 79 + "\N{LEMON}Not sent yet")
    error = {"code": "DATABASE_ERROR", "message": "Not now.", "outcome": "unknown", "actions": ["retry"]}
    wire.tell(refusal(error, ref=wire.lost[-1]["ref"]))
    alice.expect_state(alice.questions.last, "Perhaps not saved")
    expect(alice.unsent).to_contain_text("Perhaps not saved")
    alice.start_new()
    expect(alice.page.locator("#log")).to_have_attribute("aria-busy", "false")
