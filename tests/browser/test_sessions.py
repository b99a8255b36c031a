"""The list of conversations, and that all tabs and devices of a person agree about it."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from tests.browser.chat_page import ANSWER_MS
from tests.services.process import wait_until

# What makes the page load the list again.
REFRESH = "document.dispatchEvent(new Event('visibilitychange'))"


@pytest.fixture
def bob(site, sign_in):
    page = sign_in(site, "bob")
    page.start_new()
    return page


@pytest.fixture
def second_device(bob, site, sign_in):
    """Bob's other browser, at the same conversation."""

    def open_same():
        return sign_in(site, "bob", path=f"/chat/s/{bob.session_id}/")

    return open_same


def another_tab(page, path="/chat/"):
    """The same browser's."""
    tab = type(page)(page.page.context.new_page(), page.visitor)
    tab.open(path)
    return tab


def delete(page, title):
    page.menu(title, "Delete")
    page.page.get_by_role("dialog").get_by_role("button", name="Delete").click()


def test_the_newest_activity_comes_first(bob):
    bob.ask("Talk about apples")
    bob.start_new()
    bob.ask("Talk about pears")
    expect(bob.titles.first).to_have_text("Talk about pears")
    bob.page.get_by_role("link", name="Talk about apples").first.click()
    expect(bob.questions.first).to_contain_text("apples")
    bob.ask("More")
    expect(bob.titles.first).to_have_text("Talk about apples")
    bob.page.go_back()
    expect(bob.questions.first).to_contain_text("pears")


def test_a_long_list_is_shown_page_by_page(site, sign_in):
    script = (
        "from chat.models import ChatSession; from django.contrib.auth import get_user_model; "
        "owner = get_user_model().objects.get(username='olivia'); "
        "ChatSession.objects.bulk_create(ChatSession(owner=owner, title=f'Number {n}') for n in range(70))"
    )
    site.manage("shell", "--no-imports", "--command", script)
    olivia = sign_in(site, "olivia")
    more = olivia.page.get_by_role("button", name="Show more")
    for shown in (30, 60):
        expect(olivia.titles).to_have_count(shown)
        more.click()
    oldest = olivia.page.get_by_role("link", name="Number 0 ")
    expect(oldest).to_be_visible()
    shown = olivia.titles.count()
    assert 70 <= shown < 90
    expect(more).to_be_hidden()
    oldest.focus()
    with olivia.page.expect_response(lambda response: "/chat/sessions?" in response.url and "cursor" in response.url):
        olivia.page.evaluate(REFRESH)
    expect(oldest).to_be_focused()
    expect(olivia.titles).to_have_count(shown)


def test_a_new_name_is_seen_everywhere(bob, second_device):
    bob.ask("Hello")
    other = second_device()
    bob.menu("Hello", "Rename")
    field = bob.page.get_by_label("Name of the conversation")
    field.fill("  A better\u00a0name <b> ")
    field.press("Enter")
    for page in (bob, other):
        expect(page.titles.first).to_have_text("A better name <b>")
        expect(page.page.get_by_role("heading", level=1)).to_have_text("A better name <b>")
    bob.menu("A better name", "Rename")
    field.fill("never mind")
    field.press("Escape")
    expect(bob.titles.first).to_have_text("A better name <b>")
    bob.reload()
    expect(bob.titles.first).to_have_text("A better name <b>")


def test_an_ended_conversation_can_be_read_and_not_written_to(bob, second_device):
    bob.ask("Hello")
    other = second_device()
    bob.page.get_by_role("button", name="End conversation").click()
    bob.page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
    expect(bob.box).to_be_visible()
    bob.page.get_by_role("button", name="End conversation").click()
    bob.page.get_by_role("dialog").get_by_role("button", name="End conversation").click()
    for page in (bob, other):
        expect(page.page.get_by_text("This conversation has ended.")).to_be_visible()
        expect(page.box).to_be_hidden()
        expect(page.page.locator(".session-item").first).to_contain_text("ended")
        expect(page.questions).to_have_count(1)


def test_a_deleted_conversation_is_gone_everywhere(bob, second_device):
    bob.ask("Keep this")
    bob.start_new()
    bob.ask("Delete this")
    session_id = bob.session_id
    other = second_device()
    bob.menu("Delete this", "Delete")
    dialog = bob.page.get_by_role("dialog", name="Delete this conversation?")
    expect(dialog).to_contain_text("Delete this")
    dialog.get_by_role("button", name="Delete").click()
    for page in (bob, other):
        expect(page.page.get_by_role("heading", name="How can I help?")).to_be_visible()
        expect(page.page.get_by_role("link", name="Delete this")).to_have_count(0)
    expect(other.notices).to_have_text("“Delete this” was deleted on another device.")
    expect(bob.page.get_by_text("deleted on another device")).to_have_count(0)
    assert bob.visitor.get_json(f"/chat/sessions/{session_id}")[0] == 404
    bob.page.goto(f"/chat/s/{session_id}/")
    expect(bob.card).to_contain_text("This conversation does not exist, or it is not yours.")
    expect(bob.heading).to_have_text("Conversation not found")
    expect(bob.box).to_be_hidden()
    expect(bob.page.get_by_role("log")).to_be_focused()
    bob.card.get_by_role("button", name="New conversation").click()
    expect(bob.page.get_by_role("heading", name="How can I help?")).to_be_visible()
    expect(bob.box).to_be_focused()


def test_what_is_typed_in_a_conversation_that_is_deleted_elsewhere_is_kept(bob, second_device):
    bob.ask("Stay here")
    bob.start_new()
    bob.ask("Going away")
    other = second_device()
    other.box.fill("half a sentence")
    delete(bob, "Going away")
    expect(other.notices).to_have_text("“Going away” was deleted on another device.")
    expect(other.heading).to_have_text("New conversation")
    expect(other.box).to_have_value("half a sentence")
    other.go_to("Stay here")
    expect(other.notices).to_have_count(0)
    expect(other.box).to_have_value("")
    other.start_new()
    expect(other.box).to_have_value("half a sentence")


def test_what_is_typed_in_a_conversation_that_is_deleted_in_another_tab_is_kept(bob):
    bob.ask("Going away")
    other = another_tab(bob)
    bob.box.fill("half a sentence")
    delete(other, "Going away")
    expect(bob.notices).to_have_text("“Going away” was deleted on another device.")
    expect(bob.box).to_have_value("half a sentence")
    bob.reload()
    expect(bob.box).to_have_value("half a sentence")


def test_what_is_not_sent_to_a_conversation_that_is_deleted_elsewhere_is_kept(wired, site, sign_in):
    alice, wire = wired
    alice.ask("Stay here")
    alice.start_new()
    alice.ask("Going away")
    other = sign_in(site, "alice")
    wire.copies_up = lambda frame: frame["type"] != "user_message"
    alice.say("precious words")
    alice.box.fill("and a draft")
    alice.go_to("Stay here")
    expect(alice.heading).to_have_text("Stay here")
    delete(other, "Going away")
    kept = "What you had not sent yet is in the message box of your next conversation."
    expect(alice.notices).to_have_text(f"“Going away” was deleted on another device. {kept}")
    expect(alice.box).to_have_value("")
    alice.start_new()
    expect(alice.box).to_have_value("precious words\nand a draft")
    expect(alice.notices).to_have_count(1)


def test_what_is_typed_in_a_conversation_that_is_ended_elsewhere_is_kept(bob, second_device):
    bob.ask("Coming to its end")
    other = second_device()
    other.box.fill("half a sentence")
    bob.box.fill("of the other device")
    bob.start_new()
    other.menu("Coming to its end", "End conversation")
    other.page.get_by_role("dialog").get_by_role("button", name="End conversation").click()
    expect(other.box).to_be_hidden()
    other.page.locator("#ended-note").get_by_role("button", name="New conversation").click()
    expect(other.box).to_have_value("half a sentence")
    bob.go_to("Coming to its end")
    expect(bob.box).to_be_hidden()
    bob.start_new()
    expect(bob.box).to_have_value("of the other device")
    bob.go_to("Coming to its end")
    expect(bob.box).to_be_hidden()
    bob.start_new()
    expect(bob.box).to_have_value("of the other device")


def test_a_list_that_was_under_way_does_not_bring_back_what_was_deleted_or_renamed(bob):
    for title in ("Stay here", "Going away", "Old name"):
        bob.start_new()
        bob.ask(title)
    lists = re.compile("/chat/sessions[?]")
    held = []
    bob.page.route(lists, lambda route: held.append((route, route.fetch())), times=1)
    bob.page.evaluate(REFRESH)
    wait_until(lambda: bob.page.wait_for_timeout(20) or held, "the list has been read")
    [(route, response)] = held
    delete(bob, "Going away")
    bob.menu("Old name", "Rename")
    bob.page.get_by_label("Name of the conversation").fill("New name")
    bob.page.keyboard.press("Enter")
    expect(bob.heading).to_have_text("New name")
    expect(bob.page.get_by_role("link", name="Going away")).to_have_count(0)
    bob.page.evaluate(
        """() => {
            window.seen = [];
            const list = document.getElementById("session-list");
            const note = () => list.querySelectorAll(".session-title").forEach((title) => seen.push(title.textContent));
            new MutationObserver(note).observe(list, { childList: true, subtree: true, characterData: true });
        }"""
    )
    with bob.page.expect_response(lists):
        route.fulfill(response=response)
    bob.start_new()
    bob.ask("Last one")
    seen = bob.page.evaluate("seen")
    assert "New name" in seen
    assert not {"Going away", "Old name"} & set(seen)


def test_the_list_follows_what_happens_on_another_device(bob, site, sign_in):
    bob.ask("Talk about plums")
    bob.start_new()
    bob.ask("Talk about figs")
    other = sign_in(site, "bob", path=f"/chat/s/{bob.session_id}/")
    expect(other.titles.first).to_have_text("Talk about figs")
    bob.start_new()
    bob.ask("Talk about dates")
    expect(other.titles.first).to_have_text("Talk about dates")
    bob.page.get_by_role("link", name="Talk about plums").first.click()
    bob.ask("More")
    expect(other.titles.first).to_have_text("Talk about plums")
    expect(other.titles.nth(1)).to_have_text("Talk about dates")


def test_the_list_says_where_an_answer_is_written_and_where_one_has_come(bob, picture):
    bob.ask("Talk about figs")
    bob.start_new()
    bob.say("show markdown slowly")
    expect(bob.replies.last).to_be_visible()
    entry = bob.page.locator(".session-item", has_text="show markdown slowly").first
    bob.listen()
    bob.go_to("Talk about figs")
    expect(bob.questions).to_have_text(re.compile("figs"))
    expect(entry).to_contain_text("Writing")
    picture(bob.page, "writing-elsewhere")
    expect(entry).to_contain_text("New answer", timeout=ANSWER_MS)
    expect(bob.page).to_have_title("(1) Talk about figs – Switchboard")
    assert "There is a new answer in “show markdown slowly”." in bob.heard
    picture(bob.page, "unread")
    bob.page.set_viewport_size({"width": 390, "height": 760})
    opener = bob.page.get_by_role("button", name="Open the list of conversations")
    expect(opener).to_have_accessible_description("New answer")
    picture(bob.page, "unread-390")
    opener.click()
    bob.go_to("show markdown slowly")
    expect(entry).not_to_contain_text("New answer")
    expect(opener).to_have_accessible_description("")
    expect(bob.page).to_have_title("show markdown slowly – Switchboard")
    bob.expect_state(bob.questions.last, "Answered")


def test_an_answer_that_comes_while_the_tab_is_hidden_is_counted_in_its_title(bob):
    bob.ask("Talk about figs")
    state = "(state) => { Object.defineProperty(document, 'visibilityState', { value: state, configurable: true }); "
    hide = state + "document.dispatchEvent(new Event('visibilitychange')); }"
    bob.page.evaluate(hide, "hidden")
    bob.ask("More of them")
    expect(bob.page).to_have_title("(1) Talk about figs – Switchboard")
    bob.page.evaluate(hide, "visible")
    expect(bob.page).to_have_title("Talk about figs – Switchboard")


def test_a_model_that_is_chosen_on_one_device_is_shown_on_the_other(bob, second_device):
    bob.ask("Hello")
    other = second_device()
    bob.page.get_by_label("Model", exact=True).select_option("demo-brief")
    for page in (bob, other):
        expect(page.page.get_by_label("Model", exact=True)).to_have_value("demo-brief")
    bob.reload()
    expect(bob.page.get_by_label("Model", exact=True)).to_have_value("demo-brief")


def test_two_tabs_show_the_same_conversation(bob):
    bob.ask("Hello")
    other = another_tab(bob, f"/chat/s/{bob.session_id}/")
    sign = other.page.get_by_text("You are typing on another device")

    def is_typing_seen():
        """A sign is sent every three seconds; the first one may come before the other tab has joined."""
        bob.box.press_sequentially("?")
        return sign.is_visible()

    wait_until(is_typing_seen, "the other tab shows that bob is typing")
    bob.ask("What is a provider?")
    other.expect_state(other.questions.last, "Answered")
    expect(sign).to_be_hidden()
    other.ask("And the admin?")
    bob.expect_state(bob.questions.nth(2), "Answered")
    texts = [page.page.locator("#log").inner_text() for page in (bob, other)]
    assert texts[0] == texts[1]
    assert [message["seq"] for message in bob.stored()] == [1, 2, 3, 4, 5, 6]


def test_every_conversation_keeps_its_draft(bob):
    bob.ask("Hello")
    address = bob.page.url
    bob.box.fill("not finished\nyet")
    bob.start_new()
    expect(bob.box).to_have_value("")
    bob.box.fill("something else")
    bob.open(address)
    expect(bob.box).to_have_value("not finished\nyet")
    bob.reload()
    expect(bob.box).to_have_value("not finished\nyet")
    bob.box.press("Enter")
    bob.expect_state(bob.questions.last, "Answered")
    bob.reload()
    expect(bob.box).to_have_value("")
    bob.page.get_by_role("button", name="New conversation").first.click()
    expect(bob.box).to_have_value("something else")


def test_a_new_conversation_in_each_of_two_tabs_has_a_draft_of_its_own(bob):
    bob.ask("Talk about figs")
    bob.start_new()
    other = another_tab(bob)
    other.start_new()
    bob.box.fill("a long text")
    other.box.fill("b")
    bob.go_to("Talk about figs")
    expect(bob.heading).to_have_text("Talk about figs")
    bob.start_new()
    expect(bob.box).to_have_value("a long text")
    bob.reload()
    expect(bob.box).to_have_value("a long text")
    other.page.close()
    bob.box.fill("")
    bob.reload()
    expect(bob.box).to_have_value("b")


def test_signing_out_leaves_nothing_behind(bob):
    bob.ask("Hello")
    bob.box.fill("secret draft")
    bob.page.get_by_role("button", name="Sign out").click()
    expect(bob.page).to_have_url(re.compile(r"/chat/login/"))
    assert bob.page.evaluate("JSON.stringify([{...localStorage}, {...sessionStorage}])") == "[{},{}]"
