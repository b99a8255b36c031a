"""A conversation as a person has it."""

from __future__ import annotations

from playwright.sync_api import expect


def test_a_question_is_answered_and_still_there_after_a_reload(alice, picture):
    reply = alice.ask("How do I deploy it?")
    expect(reply).to_contain_text("make run")
    expect(alice.page.get_by_role("heading", level=1)).to_have_text("How do I deploy it?")
    expect(alice.titles.first).to_have_text("How do I deploy it?")
    picture(alice.page, "conversation")
    alice.reload()
    expect(alice.questions).to_have_count(1)
    alice.expect_state(alice.questions.first, "Answered")
    expect(alice.replies).to_have_count(1)
    assert [message["sender"] for message in alice.stored()] == ["user", "ai"]
