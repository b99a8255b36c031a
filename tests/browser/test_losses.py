"""Frames get lost, come twice or come late; the page ends with the whole conversation, each message once."""

from __future__ import annotations

import itertools

from playwright.sync_api import expect

from tests.browser.provider import script

REPAIRED_MS = 30_000


def test_a_piece_of_an_answer_that_gets_lost_is_asked_for(wired):
    alice, wire = wired
    count = itertools.count()
    is_piece = {"streaming": "true", "done": "false"}
    wire.copies_down = lambda frame: next(count) % 2 if frame.get("metadata") == is_piece else 1
    alice.ask("show emoji slowly")
    expect(alice.replies.last.locator("p").first).to_have_text(script("emoji").strip())
    assert next(count) > 2


def test_what_gets_lost_as_a_whole_is_learnt_from_the_heartbeat(wired):
    """Acknowledgement, answer and its end: nothing of it arrives."""
    alice, wire = wired
    alice.ask("Hello")
    has_asked = []
    wire.copies_up = lambda frame: has_asked.append(frame) or 1 if frame["type"] == "resume" else 1
    wire.copies_down = lambda frame: int(bool(has_asked) or frame["type"] == "heartbeat")
    question = alice.say("show emoji")
    expect(question.locator(".message-state")).to_have_text("Answered", timeout=REPAIRED_MS)
    expect(alice.replies.last.locator("p").first).to_have_text(script("emoji").strip())
    expect(alice.questions).to_have_count(2)
    expect(alice.replies).to_have_count(2)
    assert [message["seq"] for message in alice.stored()] == [1, 2, 3, 4]


def test_what_comes_twice_is_shown_once(wired):
    alice, wire = wired
    wire.copies_up = wire.copies_down = lambda frame: 2
    alice.ask("show emoji slowly")
    expect(alice.replies.last.locator("p").first).to_have_text(script("emoji").strip())
    alice.ask("/fault midstream", state="Answered in part")
    expect(alice.questions).to_have_count(2)
    expect(alice.replies).to_have_count(2)
    expect(alice.card).to_have_count(1)
    expect(alice.notices).to_have_count(0)
    assert [message["seq"] for message in alice.stored()] == [1, 2, 3, 4]


def test_more_than_the_server_repeats_is_loaded_again_without_a_hole(wired, site, sign_in):
    """The server repeats at most 4 messages here; 6 were missed."""
    alice, wire = wired
    alice.ask("message 0")
    wire.copies_down = lambda frame: 0
    other = sign_in(site, "alice", path=f"/chat/s/{alice.session_id}/")
    for number in range(1, 4):
        other.ask(f"message {number}")
    wire.copies_down = lambda frame: 1
    wire.cut()
    said = alice.questions.locator(".message-text")
    expect(said).to_have_text([f"message {number}" for number in range(4)], timeout=REPAIRED_MS)
    expect(alice.replies).to_have_count(4)


def sign_in_instead(page, name, site):
    """The browser belongs to somebody else now."""
    visitor = site.sign_in(name)
    for pair in visitor.cookies.split("; "):
        key, _, value = pair.partition("=")
        page.page.context.add_cookies([{"name": key, "value": value, "url": site.url}])
    return visitor


def test_the_list_of_somebody_who_signed_in_meanwhile_is_not_shown(alice, site, sign_in):
    bob = sign_in(site, "bob")
    bob.ask("From bob only")
    alice.ask("Of alice")
    sign_in_instead(alice, "bob", site)
    alice.page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    expect(alice.line).to_contain_text("Please sign in again")
    expect(alice.titles.first).to_have_text("Of alice")
    expect(alice.page.get_by_role("link", name="From bob only")).to_have_count(0)


def test_nothing_is_sent_in_the_name_of_somebody_who_signed_in_meanwhile(wired, site):
    """Another tab of the browser belongs to bob now, and so does every new connection."""
    alice, wire = wired
    alice.ask("Hello")
    wire.copies_up = lambda frame: 0
    question = alice.say("From alice only")
    bob = sign_in_instead(alice, "bob", site)
    wire.copies_up = lambda frame: 1
    wire.cut()
    expect(alice.line).to_contain_text("Please sign in again", timeout=REPAIRED_MS)
    alice.expect_state(question, "Not sent yet. Sign in to send it.")
    _, listed = bob.get_json("/chat/sessions")
    assert "From alice only" not in str(listed)


def test_a_typing_sign_does_not_outlive_the_connection(wired, site, sign_in):
    alice, wire = wired
    alice.ask("Hello")
    other = sign_in(site, "alice", path=f"/chat/s/{alice.session_id}/")
    other.box.press_sequentially("Hm")
    sign = alice.page.get_by_text("You are typing on another device")
    expect(sign).to_be_visible()
    wire.cut()
    expect(sign).to_be_hidden(timeout=2_000)  # long before it would go by itself
