"""The chat page as a person uses it, in the words of the domain. Every method waits for what it promises."""

from __future__ import annotations

import re
from typing import Any

from playwright.sync_api import Locator, Page, expect

from tests.services.client import SiteClient

ANSWER_MS = 20_000


class ChatPage:
    """One tab.

    Attributes:
        page: Playwright's page.
        visitor: The same person over HTTP, to look at what is stored.
    """

    def __init__(self, page: Page, visitor: SiteClient) -> None:
        self.page = page
        self.visitor = visitor

    @property
    def box(self) -> Locator:
        return self.page.get_by_label("Message", exact=True)

    @property
    def questions(self) -> Locator:
        return self.page.locator(".message.question")

    @property
    def replies(self) -> Locator:
        return self.page.locator(".message.reply:visible")

    @property
    def card(self) -> Locator:
        return self.page.locator("#log .error-card")

    @property
    def notices(self) -> Locator:
        return self.page.locator("#notices .notice")

    @property
    def line(self) -> Locator:
        return self.page.locator("#connection-line")

    @property
    def titles(self) -> Locator:
        return self.page.locator(".session-title")

    @property
    def heading(self) -> Locator:
        return self.page.get_by_role("heading", level=1)

    @property
    def unsent(self) -> Locator:
        """The entries of conversations that the server does not know yet."""
        return self.page.locator("#unsent-list .session-link")

    @property
    def session_id(self) -> str:
        found = re.search(r"/s/([0-9a-f-]{36})/$", self.page.url)
        assert found, self.page.url
        return found[1]

    def open(self, path: str) -> None:
        """Go to an address and wait until the page is connected."""
        self.page.goto(path)
        self.wait_connected()

    def wait_connected(self) -> None:
        """Wait until the page has its connection and shows a conversation."""
        expect(self.page.locator(".model-picker")).to_be_visible(timeout=ANSWER_MS)  # what the server says at first
        expect(self.line).to_be_hidden(timeout=ANSWER_MS)
        expect(self.page.locator("#log")).not_to_have_attribute("aria-busy", "true")

    def start_new(self) -> None:
        self.page.get_by_role("button", name="New conversation").first.click()
        expect(self.page.get_by_role("heading", name="How can I help?")).to_be_visible()

    def go_to(self, title: str) -> None:
        """Choose a conversation from the list, and wait for nothing."""
        self.page.get_by_role("link", name=title).first.click()

    def say(self, text: str) -> Locator:
        """Type a message and send it; returns it as shown."""
        self.box.fill(text)
        self.box.press("Enter")
        return self.questions.last

    def ask(self, text: str, *, state: str = "Answered") -> Locator:
        """Send a message, wait for what became of it, and return the newest answer."""
        question = self.say(text)
        self.expect_state(question, state)
        return self.replies.last

    def expect_state(self, question: Locator, state: str) -> None:
        expect(question.locator(".message-meta .message-state")).to_have_text(state, timeout=ANSWER_MS)

    def listen(self) -> None:
        """Note from now on what screen readers are told."""
        self.page.evaluate(
            """() => {
                window.heard = [];
                const note = (changes) => changes.forEach(({ addedNodes }) =>
                    addedNodes.forEach((node) => heard.push(node.textContent)));
                new MutationObserver(note).observe(document.getElementById("announcer"), { childList: true });
            }"""
        )

    @property
    def heard(self) -> list[str]:
        return list(self.page.evaluate("heard"))

    def reload(self) -> None:
        self.page.reload()
        self.wait_connected()

    def menu(self, title: str, action: str) -> None:
        """Choose something from the menu of a conversation in the list."""
        self.page.get_by_role("button", name=f"More about {title}").first.click()
        self.page.get_by_role("button", name=action, exact=True).last.click()

    def stored(self, session_id: str | None = None) -> list[dict[str, Any]]:
        """The messages of a session as the server has them."""
        status, body = self.visitor.get_json(f"/chat/sessions/{session_id or self.session_id}?limit=50")
        assert status == 200, body
        return list(body["messages"])
