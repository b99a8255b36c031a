"""For everybody: the keyboard alone is enough, axe finds nothing on any page in either theme, the page is light."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Page, Route, expect

from tests.browser.conftest import RESULTS
from tests.services.process import wait_until

AXE = (Path(__file__).parent / "axe" / "axe.min.js").read_text()
# Of each label's words with the ground below it; a canvas mixes colours as the screen does.
CONTRASTS = """() => {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const light = (colours) => {
    for (const colour of colours) { canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1); }
    const [r, g, b] = [...canvas.getImageData(0, 0, 1, 1).data].map((part) =>
      part / 255 <= 0.03928 ? part / 255 / 12.92 : ((part / 255 + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b + 0.05;
  };
  const contrast = (label) => {
    const grounds = [];
    for (let node = label; node; node = node.parentElement) grounds.unshift(getComputedStyle(node).backgroundColor);
    const pair = [light(["white", ...grounds]), light(["white", ...grounds, getComputedStyle(label).color])];
    return Math.max(...pair) / Math.min(...pair);
  };
  const page = document.getElementById("result_list");
  const labels = ["service", "auth", "rate_limit", "validation", "other"].map((category) => {
    const label = page.querySelector(".failure-label").cloneNode(true);
    label.className = `failure-label failure-of-${category}`;
    page.querySelector(".failure-label").after(label);
    return label;
  });
  return labels.map(contrast);
}"""
AXE_OPTIONS = {"resultTypes": ["violations"], "rules": {"target-size": {"enabled": True}}}  # off unless asked for
WEIGHT_MAX_BYTES = 250_000  # compressed, everything that the chat page fetches on a first visit
THEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")


def check(page: Page) -> None:
    """No violation of any rule that axe knows, best practices and the size of targets included."""
    page.evaluate(AXE)
    found = page.evaluate(f"axe.run(document, {json.dumps(AXE_OPTIONS)})")["violations"]
    assert [(rule["id"], [node["target"] for node in rule["nodes"]]) for rule in found] == []


def look_at(page: Page, picture: Callable[[Page, str], None], name: str) -> None:
    """Check what is on the page now in both themes, and keep a picture of each."""
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{name} scrolls sideways"
    for theme in THEMES:
        page.emulate_media(color_scheme=theme)
        check(page)
        picture(page, f"{theme}-{name}")


@pytest.mark.parametrize("width", [1280, 320])
def test_axe_finds_nothing(site, sign_in, picture, width):
    narrow = width < 800
    mallory = sign_in(site, "mallory", viewport={"width": width, "height": 720}, reduced_motion="reduce")
    page = mallory.page

    def look(name: str) -> None:
        look_at(page, picture, f"{width}-{name}")

    def open_list() -> None:
        if narrow:
            page.get_by_role("button", name="Open the list of conversations").click()
            expect(page.get_by_role("button", name="New conversation").first).to_be_in_viewport()

    open_list()
    look("list")
    mallory.start_new()
    expect(page.locator("#sidebar.is-open")).to_have_count(0)
    look("empty")
    question = mallory.say("show markdown slowly")
    expect(mallory.replies.last.locator(".code-block").first).to_be_visible()
    look("streaming")
    mallory.expect_state(question, "Answered")
    look("markdown")
    mallory.ask("/fault unavailable", state="Saved, no answer")
    mallory.ask("break", state="Answered in part")
    mallory.say("busy 1 60000")
    expect(mallory.card).to_have_count(3)
    look("failures")
    open_list()
    page.get_by_role("button", name="More about").last.click()
    look("menu")
    page.get_by_role("button", name="Delete", exact=True).last.click()
    look("dialog")
    page.keyboard.press("Escape")
    page.get_by_role("button", name="More about").last.click()
    page.get_by_role("button", name="Rename", exact=True).click()
    look("rename")
    page.keyboard.press("Escape")
    mallory.reload()
    if narrow:
        open_list()
        page.get_by_role("button", name="More about").first.click()
    page.get_by_role("button", name="End conversation").last.click()
    page.get_by_role("dialog").get_by_role("button", name="End conversation").click()
    if narrow:
        page.keyboard.press("Escape")
    expect(page.get_by_text("This conversation has ended.")).to_be_visible()
    look("ended")
    page.goto("/chat/s/00000000-0000-4000-8000-000000000000/")
    expect(mallory.card).to_be_visible()
    look("not-found")
    pages = {"errors": "/chat/errors/", "error": "/chat/errors/LLM_UNAVAILABLE", "no-page": "/chat/nope/"}
    for name, path in pages.items():
        page.goto(path)
        look(name)
    page.context.clear_cookies()
    page.goto("/chat/login/")
    look("login")
    page.get_by_label("Username").fill("mallory")
    page.get_by_label("Password").fill("wrong")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_be_visible()
    look("login-refused")


@pytest.mark.parametrize("width", [1280, 320])
def test_axe_finds_nothing_in_the_admin(site, sign_in, picture, width):
    """olivia is staff; she looks at the failure of her own."""
    olivia = sign_in(site, "olivia", viewport={"width": width, "height": 800}, reduced_motion="reduce")
    page = olivia.page
    olivia.ask("show xss")
    olivia.ask("/fault midstream", state="Answered in part")
    reference = str(olivia.card.last.locator("code").text_content())
    addresses = {
        "overview": "/admin/",
        "failures": "/admin/errors/routingfailure/",
        "no-failure": "/admin/errors/routingfailure/?q=E-0000-0000",
        "sessions": "/admin/chat/chatsession/",
        "session": f"/admin/chat/chatsession/{olivia.session_id}/change/",
        "failure": f"/admin/errors/routingfailure/?q={reference}",
        "login": "/admin/login/",
    }
    for name, address in addresses.items():
        if name == "login":
            page.context.clear_cookies()
        page.goto(address)
        if name == "failure":
            page.locator("#result_list tbody a").first.click()
            expect(page.get_by_text("What the person was told")).to_be_visible()
        page.wait_for_load_state("networkidle")
        look_at(page, picture, f"{width}-admin-{name}")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_failures_are_told_apart_at_a_glance(site, sign_in, picture, scheme):
    """Labels read on every ground; the cause is on the first screen of a failure, the search box on that of a phone."""
    olivia = sign_in(site, "olivia", viewport={"width": 1366, "height": 900}, color_scheme=scheme)
    page = olivia.page
    olivia.ask("/fault midstream", state="Answered in part")
    page.goto("/admin/errors/routingfailure/")
    for contrast in page.evaluate(CONTRASTS):
        assert contrast >= 4.5
    page.locator("#result_list tbody a").first.click()
    for words in ("Root cause", "ConnectionResetError: [Errno 104]", "this cause"):
        expect(page.get_by_text(words).first).to_be_in_viewport()
    label = page.get_by_text("Root cause", exact=True).bounding_box()
    value = page.locator(".failure-root").bounding_box()
    assert abs(label["y"] + label["height"] / 2 - value["y"] - value["height"] / 2) <= 3
    picture(page, f"{scheme}-failure")
    page.set_viewport_size({"width": 375, "height": 812})
    page.goto("/admin/errors/routingfailure/")
    expect(page.locator("#searchbar")).to_be_in_viewport()
    card = page.locator("#result_list tbody").first
    assert card.bounding_box()["height"] <= 130
    for cell in ("reference", "code_label", "time_in_list", "user_link", "cause_in_list"):
        expect(card.locator(f".field-{cell}")).to_be_in_viewport()
    picture(page, f"{scheme}-failures-narrow")


def test_the_keyboard_is_enough(own_site, sign_in):
    alice = sign_in(own_site, "alice")
    page, press = alice.page, alice.page.keyboard.press
    skip = page.get_by_role("link", name="Skip to the message box")
    assert page.evaluate("document.querySelector('a, button, input, textarea').textContent") == skip.text_content()
    skip.focus()
    expect(skip).to_be_in_viewport()
    press("Enter")
    expect(alice.box).to_be_focused()
    page.keyboard.type("First line")
    press("Shift+Enter")
    page.keyboard.type("/second line")
    press("Enter")
    expect(alice.questions.last.locator(".message-text")).to_have_text("First line\n/second line")
    alice.expect_state(alice.questions.last, "Answered")
    expect(alice.box).to_be_focused()
    page.keyboard.type("/fault unavailable")
    press("Enter")
    expect(alice.card).to_be_visible()
    alice.expect_state(alice.questions.last, "Saved, no answer")
    for _ in range(12):
        press("Shift+Tab")
        if page.evaluate("document.activeElement.textContent") == "Try again":
            break
    press("Enter")
    alice.expect_state(alice.questions.last, "Answered")
    expect(alice.box).to_be_focused()  # the button is gone
    more = page.get_by_role("button", name="More about First line").first
    more.focus()
    press("Enter")
    expect(page.get_by_role("button", name="Rename", exact=True)).to_be_focused()
    press("Escape")
    expect(more).to_be_focused()
    press("Enter")
    press("Enter")
    expect(page.get_by_label("Name of the conversation")).to_be_focused()
    page.keyboard.type("Renamed")
    press("Enter")
    expect(alice.titles.first).to_have_text("Renamed")
    expect(page.get_by_role("button", name="More about Renamed").first).to_be_focused()
    page.get_by_role("button", name="End conversation").focus()
    press("Enter")
    expect(page.get_by_role("dialog").get_by_role("button", name="Cancel")).to_be_focused()
    press("Tab")
    press("Enter")
    expect(page.get_by_text("This conversation has ended.")).to_be_visible()
    expect(page.get_by_role("main").get_by_role("button", name="New conversation")).to_be_focused()
    expect(page.get_by_label("Model", exact=True)).to_be_disabled()


def test_the_drawer_takes_the_focus_and_gives_it_back(site, sign_in):
    alice = sign_in(site, "alice", viewport={"width": 390, "height": 700})
    page, press = alice.page, alice.page.keyboard.press
    alice.ask("Hello")
    opener = page.locator("#sidebar-open")
    opener.focus()
    press("Enter")
    expect(page.get_by_role("button", name="Close the list of conversations")).to_be_focused()
    places = set()
    for _ in range(12):
        press("Tab")
        places.add(page.evaluate("document.activeElement.closest('#sidebar, body').id"))
    assert places <= {"sidebar", ""}  # past the last one it is the browser's turn
    press("Escape")
    expect(opener).to_be_focused()
    opener.click()
    page.set_viewport_size({"width": 1280, "height": 700})
    expect(alice.box).to_be_focused()  # the opener is gone
    alice.box.click()  # there is room for both: nothing is out of reach


def test_an_input_method_keeps_its_enter(alice):
    """While an input method composes, Enter chooses a candidate and sends nothing."""
    alice.box.fill("kan")
    alice.box.dispatch_event("keydown", {"key": "Enter", "isComposing": True})
    alice.box.dispatch_event("keydown", {"key": "Enter", "keyCode": 229})
    expect(alice.box).to_have_value("kan")
    expect(alice.questions).to_have_count(0)


def test_screen_readers_hear_finished_text_once(alice):
    alice.listen()
    alice.ask("show markdown slowly")

    def answers_heard() -> list[str]:
        return [text for text in alice.heard if text.startswith("Assistant: ")]

    wait_until(answers_heard, "the answer is announced")
    answers = answers_heard()
    assert len(answers) == 1
    assert "A message is stored first, then acknowledged" in answers[0]
    assert "```" not in answers[0]


def test_screen_readers_hear_what_became_of_a_message(wired):
    alice, wire = wired
    alice.listen()
    alice.ask("/fault unavailable", state="Saved, no answer")
    alice.say("busy 1 60000")
    expect(alice.card).to_have_count(2)
    wire.copies_up = lambda frame: 0
    alice.expect_state(alice.say("On its way"), "Sending")
    error = {"code": "NOT_FOUND", "category": "validation", "message": "This was not found.", "outcome": "rejected"}
    wire.tell({"type": "error", "ref": wire.lost[-1]["ref"], "error": {**error, "actions": []}})
    expect(alice.card).to_have_count(3)
    saved, repeated, refused = [text for text in alice.heard if text.startswith("Error: ")]
    assert saved == "Error: The assistant is unavailable right now. Your message is saved."
    assert re.search(r"Your message is saved\. Trying again automatically in \d+ s\.$", repeated)
    assert refused == "Error: This was not found. Your message was not sent."


def test_the_page_is_light(site, sign_in):
    """Counted as a proxy or WhiteNoise after `collectstatic` sends it: compressed with gzip."""
    alice = sign_in(site, "alice", path="")
    sizes: dict[str, int] = {}

    def weigh(response) -> None:
        sizes[response.url.removeprefix(site.url)] = len(gzip.compress(response.body(), 6))

    alice.page.on("requestfinished", lambda request: weigh(request.response()))
    alice.open("/chat/")
    alice.page.wait_for_load_state("networkidle")
    RESULTS.mkdir(exist_ok=True)
    total = sum(sizes.values())
    (RESULTS / "page-weight.json").write_text(json.dumps({"total_bytes": total, "files": sizes}, indent=1))
    assert any("markdown-it" in url for url in sizes)
    assert total <= WEIGHT_MAX_BYTES


def test_the_client_module_works_without_the_page(alice):
    """What docs/client.md promises, against the real server: a conversation from an empty script."""
    told = alice.page.evaluate(
        """async () => {
            const { ChatClient } = await import("/static/chat/client.js");
            const client = new ChatClient({ url: `ws://${location.host}/chat/ws` });
            const told = { states: [] };
            const finished = new Promise((resolve) => {
                client.addEventListener("state", ({ detail }) => told.states.push(detail.state));
                client.addEventListener("session", ({ detail }) => (told.session = detail.session_id));
                client.addEventListener("message", ({ detail }) => {
                    told[detail.sender] = detail.content;
                    if (detail.sender === "ai") resolve();
                });
            });
            client.connect();
            client.say({ content: "show emoji" });
            await finished;
            client.close();
            return told;
        }"""
    )
    assert told["states"] == ["connecting", "open", "closed"]
    assert told["user"] == "show emoji"
    assert [message["content"] for message in alice.stored(told["session"])] == ["show emoji", told["ai"]]


def test_no_module_waits_for_the_one_that_imports_it(site, sign_in):
    """While the first module is on its way, all others are asked for: a chain of imports would be a chain of trips."""
    alice = sign_in(site, "alice", path="")
    asked: list[str] = []
    held: list[Route] = []
    alice.page.on("request", lambda request: asked.append(request.url))
    alice.page.route("**/page.js", lambda route: held.append(route))
    alice.page.goto("/chat/", wait_until="commit")
    expect(alice.page.get_by_role("button", name="New conversation")).to_be_disabled()
    expect(alice.box).to_be_disabled()
    modules = alice.page.locator("link[rel=modulepreload]").evaluate_all("(links) => links.map(({ href }) => href)")
    assert len(modules) > 30
    wait_until(lambda: set(modules) <= set(asked), "every module is asked for")
    held[0].continue_()
    alice.wait_connected()
    expect(alice.box).to_be_enabled()
