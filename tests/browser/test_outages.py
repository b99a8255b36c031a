"""The server dies, the network goes, the page is loaded again: nothing is lost, nothing comes twice."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Error, expect

from tests.services.process import wait_until

RECONNECT_MS = 40_000


def test_a_server_that_is_killed_in_the_middle_of_an_answer(own_site, sign_in, picture):
    alice = sign_in(own_site, "alice")
    question = alice.say("hold")
    expect(alice.replies.last).to_contain_text("This answer has begun")
    wait_until(lambda: alice.stored()[0]["reply"]["state"] == "streaming", "a checkpoint of the answer is stored")
    own_site.kill()
    expect(alice.line).to_contain_text("Connection lost.")
    expect(alice.replies.last).to_contain_text("Waiting for the connection")
    picture(alice.page, "reconnecting")
    own_site.start()
    expect(alice.line).to_be_hidden(timeout=RECONNECT_MS)
    alice.expect_state(question, "Answered in part")
    expect(alice.card).to_contain_text("The answer was cut off.")
    expect(alice.titles).to_have_text(["hold"])
    alice.card.get_by_role("button", name="Continue").click()
    alice.expect_state(question, "Answered")
    expect(alice.replies.last).to_contain_text("and goes on.")


def test_what_is_written_while_the_network_is_away_is_sent_once_and_in_order(own_site, sign_in):
    alice = sign_in(own_site, "alice")
    alice.ask("Hello")
    alice.page.context.set_offline(True)
    own_site.kill()
    expect(alice.line).to_contain_text("You are offline.")
    for text in ("one", "two", "three"):
        question = alice.say(text)
        alice.expect_state(question, "Not sent yet, waiting for the connection")
    own_site.start()
    alice.page.context.set_offline(False)
    for number in (1, 2, 3):
        expect(alice.questions.nth(number).locator(".message-state")).to_have_text("Answered", timeout=RECONNECT_MS)
    said = [message["content"] for message in alice.stored() if message["sender"] == "user"]
    assert said == ["Hello", "one", "two", "three"]
    expect(alice.questions).to_have_count(4)


@pytest.mark.parametrize("is_new", [True, False], ids=["new conversation", "known conversation"])
def test_unsent_messages_survive_a_reload_and_are_sent_exactly_once(own_site, sign_in, is_new):
    alice = sign_in(own_site, "alice")
    if not is_new:
        alice.ask("Hello")
    address = alice.page.url
    own_site.kill()
    expect(alice.line).to_be_visible()
    for text in ("first", "second"):
        alice.expect_state(alice.say(text), "Not sent yet, waiting for the connection")
    with pytest.raises(Error, match="ERR_CONNECTION_REFUSED"):
        alice.page.reload()
    own_site.start()
    alice.open(address)
    for question in ("first", "second"):
        shown = alice.questions.filter(has_text=question)
        expect(shown.locator(".message-state")).to_have_text("Answered", timeout=RECONNECT_MS)
    said = [message["content"] for message in alice.stored() if message["sender"] == "user"]
    assert said == ([] if is_new else ["Hello"]) + ["first", "second"]
    _, listed = alice.visitor.get_json("/chat/sessions")
    assert len(listed["sessions"]) == 1
    alice.reload()
    expect(alice.questions).to_have_count(len(said))


def test_a_server_that_restarts_says_so_and_the_page_comes_back_by_itself(own_site, sign_in):
    alice = sign_in(own_site, "alice")
    alice.ask("Hello")
    own_site.terminate()
    expect(alice.line).to_contain_text("The service is restarting.")
    expect(alice.line).to_contain_text(re.compile(r"Next try in \d+ s\.|Trying again now\.|Connecting"))
    own_site.start()
    expect(alice.line).to_be_hidden(timeout=RECONNECT_MS)
    expect(alice.ask("What about the admin?")).to_contain_text("/admin/")
