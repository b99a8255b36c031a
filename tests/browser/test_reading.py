"""What is written is also read elsewhere: copied, printed, under another name, at another address, in another tab."""

from __future__ import annotations

import re

from playwright.sync_api import expect

from tests.browser.conftest import VARIABLES

WALL = "\n".join(f"{number}. something that was asked at length" for number in range(60))


def test_an_own_message_is_copied_as_it_was_typed(alice):
    alice.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    alice.ask("a **b**\n\n  c")
    alice.questions.last.get_by_role("button", name="Copy this message").click()
    expect(alice.questions.last.get_by_role("status")).to_have_text("Copied")
    assert alice.page.evaluate("navigator.clipboard.readText()") == "a **b**\n\n  c"


def test_a_long_message_is_folded_until_it_is_asked_for(alice, picture):
    alice.ask("Hello")
    expect(alice.questions.last.get_by_role("button", name="Show all of it")).to_be_hidden()
    alice.ask(WALL)
    text = alice.questions.last.locator(".message-text")
    folded = text.bounding_box()["height"]
    assert folded < 300
    picture(alice.page, "folded")
    alice.questions.last.get_by_role("button", name="Show all of it").click()
    assert text.bounding_box()["height"] > 3 * folded
    alice.questions.last.get_by_role("button", name="Show less").click()
    assert text.bounding_box()["height"] == folded


def test_the_whole_conversation_is_printed_on_several_pages(alice, picture):
    alice.ask(WALL)
    for _ in range(3):
        alice.ask("show markdown")
    alice.page.emulate_media(media="print", color_scheme="dark")
    for chrome in ("#sidebar", ".dock", ".conversation-tools", ".message-tools >> nth=0", ".copy-button >> nth=0"):
        expect(alice.page.locator(chrome)).to_be_hidden()
    expect(alice.page.locator("body")).to_have_css("background-color", "rgb(255, 255, 255)")
    expect(alice.replies.last.locator("p").first).to_have_css("color", "rgb(0, 0, 0)")
    picture(alice.page, "print")
    pages = len(re.findall(rb"/Type\s*/Page\b", alice.page.pdf(format="A4")))
    assert pages >= 3
    alice.page.emulate_media(media="null")
    for _ in range(3):
        alice.ask("show markdown")
    assert len(re.findall(rb"/Type\s*/Page\b", alice.page.pdf(format="A4"))) > pages


def test_name_and_suggestions_are_those_of_the_settings(start_daphne, sign_in, picture):
    variables = {**VARIABLES, "CHAT_TITLE": "Ask Ada", "CHAT_SUGGESTIONS": "Why is it so?"}
    alice = sign_in(start_daphne(variables=variables), "alice")
    expect(alice.page.locator(".brand")).to_have_text("Ask Ada")
    expect(alice.page).to_have_title("New conversation – Ask Ada")
    picture(alice.page, "another-name")
    alice.page.get_by_role("button", name="Why is it so?").click()
    alice.expect_state(alice.questions.last, "Answered")


def test_a_page_at_another_address_says_so_and_opens_no_socket(site, sign_in, picture):
    alice = sign_in(site, "alice", path="")
    sockets = []
    alice.page.on("websocket", lambda socket: sockets.append(socket.url))
    html = alice.visitor.get_text("/chat/")[1].replace(
        '"allowed_origins": null', '"allowed_origins": ["https://a.example"]'
    )
    alice.page.route("**/chat/", lambda route: route.fulfill(body=html, content_type="text/html"))
    alice.page.goto("/chat/")
    expect(alice.line).to_contain_text("The chat cannot be used at this address.")
    alice.expect_state(alice.say("Hello"), "Not sent")
    assert sockets == []
    picture(alice.page, "wrong-address")
    html = html.replace('"is_development": false', '"is_development": true')
    alice.page.goto("/chat/")
    expect(alice.line).to_contain_text("CHAT_ALLOWED_ORIGINS")
    expect(alice.line).to_contain_text("https://a.example")


def test_who_signs_in_again_in_one_tab_goes_on_in_the_others(own_site, sign_in):
    alice = sign_in(own_site, "alice")
    alice.ask("Hello")
    other = alice.page.context.new_page()
    other.goto("/chat/")
    other.get_by_role("button", name="Sign out").click()
    expect(other.get_by_role("button", name="Sign in")).to_be_visible()
    expect(alice.line).to_contain_text("Please sign in again")
    alice.box.fill("What I was about to say")
    other.get_by_label("Username").fill("alice")
    other.get_by_label("Password").fill("a long enough password")
    other.get_by_role("button", name="Sign in").click()
    expect(other.get_by_label("Message", exact=True)).to_be_enabled()
    alice.wait_connected()
    expect(alice.box).to_have_value("What I was about to say")
    expect(alice.questions).to_have_count(1)


def test_a_conversation_that_is_not_there_outlines_nothing(alice):
    alice.page.goto("/chat/s/3f0c9a3e-5d35-4a53-9f60-0b1f6f1d0001/")
    expect(alice.heading).to_have_text("Conversation not found")
    expect(alice.page.locator("#log")).to_be_focused()
    expect(alice.page.locator("#log")).to_have_css("outline-style", "none")
