"""Frames get lost, come twice or come late; the page ends with the whole conversation, each message once."""

from __future__ import annotations

import itertools

from playwright.sync_api import expect

from tests.browser.provider import script

REPAIRED_MS = 30_000
KEPT = ("connection_status", "heartbeat", "resumed", "pong")  # what the page repairs the rest with


def test_whatever_gets_lost_on_the_way_is_asked_for(wired):
    """Every second frame is lost, acknowledgements and endings included; the heartbeat tells what is missing."""
    alice, wire = wired
    alice.ask("Hello")
    count = itertools.count()
    wire.copies_down = lambda frame: 1 if frame["type"] in KEPT else next(count) % 2
    alice.say("show emoji")
    expect(alice.replies.last.locator("p").first).to_have_text(script("emoji").strip(), timeout=REPAIRED_MS)
    alice.expect_state(alice.questions.last, "Answered")
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
    """The server repeats at most 8 messages here; 12 were missed."""
    alice, wire = wired
    alice.ask("message 0")
    wire.copies_down = lambda frame: 0
    other = sign_in(site, "alice", path=f"/chat/s/{alice.session_id}/")
    for number in range(1, 7):
        other.ask(f"message {number}")
    wire.copies_down = lambda frame: 1
    wire.cut()
    said = alice.questions.locator(".message-text")
    expect(said).to_have_text([f"message {number}" for number in range(7)], timeout=REPAIRED_MS)
    expect(alice.replies).to_have_count(7)
