"""A browser at a real daphne: `page` belongs to nobody, `alice` is signed in and on the chat page."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.browser.chat_page import ChatPage
from tests.browser.wire import Wire
from tests.install import find_chromium
from tests.services.process import give_up
from tests.services.server import DaphneServer

_TIMEOUT_MS = 10_000  # milliseconds; four busy processes share the machine with two other workers
expect.set_options(timeout=_TIMEOUT_MS)
RESULTS = Path(__file__).resolve().parent.parent.parent / "test-results"
VARIABLES = {
    "CHAT_PROVIDER": "tests.browser.provider.ScriptedBackend",
    "CHAT_MESSAGES_PER_MINUTE": "1000",  # many tests, one person
    "CHAT_CONNECTIONS_PER_USER": "200",
    "CHAT_LEASE_S": "2",  # seconds; a killed server's replies are ended soon
    "CHAT_CHECKPOINT_S": "0.5",  # seconds; a lease lasts at least three
    "CHAT_HEARTBEAT_S": "3",  # seconds; a page that missed something learns it soon
    "CHAT_RESUME_PAGE": "2",  # messages; what was missed comes in several pages
    "CHAT_RESUME_LIMIT": "4",  # messages; and of many, only the newest come
}
# What the browser says when a test takes the server away, or is refused on purpose.
EXPECTED_CONSOLE = ("WebSocket connection to", "Failed to load resource", "net::ERR_")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.parent == Path(__file__).parent:
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="session")
def browser_type_launch_args(browser_type_launch_args: dict[str, Any]) -> dict[str, Any]:
    path = find_chromium()
    if path is None:
        give_up("chromium is not installed (apt install chromium)")
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    return {**browser_type_launch_args, "executable_path": path, "args": arguments}


@pytest.fixture(scope="session")
def site(migrated_databases: Any) -> Iterator[DaphneServer]:
    """One running server for all tests that leave it alone."""
    with DaphneServer(migrated_databases.create(), variables=VARIABLES) as server:
        yield server


@pytest.fixture
def own_site(start_daphne: Callable[..., DaphneServer]) -> DaphneServer:
    """A server of the test's own, to kill and restart."""
    return start_daphne(variables=VARIABLES)


@pytest.fixture
def sign_in(browser: Browser) -> Iterator[Callable[..., ChatPage]]:
    """`sign_in(server, "alice")` is the chat page of a new browser profile; options are those of the context."""
    contexts: list[BrowserContext] = []
    problems: list[str] = []

    def start(server: DaphneServer, name: str, path: str = "/chat/", **options: Any) -> ChatPage:
        visitor = server.sign_in(name)
        context = browser.new_context(**{"base_url": server.url, "viewport": {"width": 1280, "height": 800}, **options})
        contexts.append(context)
        context.set_default_timeout(_TIMEOUT_MS)
        context.add_cookies(
            [
                {"name": pair.partition("=")[0], "value": pair.partition("=")[2], "url": server.url}
                for pair in visitor.cookies.split("; ")
            ]
        )
        page = ChatPage(watched(context.new_page(), problems), visitor)
        if path:
            page.open(path)
        return page

    yield start
    for context in contexts:
        context.close()
    assert problems == []


def watched(page: Page, problems: list[str]) -> Page:
    """Note what no page of ours may do: throw, or break its own content security policy."""
    page.on("pageerror", lambda error: problems.append(f"thrown: {error}"))

    def note(message: Any) -> None:
        if message.type == "error" and not any(words in message.text for words in EXPECTED_CONSOLE):
            problems.append(message.text)

    page.on("console", note)
    return page


@pytest.fixture
def alice(site: DaphneServer, sign_in: Callable[..., ChatPage]) -> ChatPage:
    """Alice in a new conversation."""
    page = sign_in(site, "alice")
    page.start_new()
    return page


@pytest.fixture
def wired(site: DaphneServer, sign_in: Callable[..., ChatPage]) -> tuple[ChatPage, Wire]:
    """Alice in a new conversation, and the wire between her page and the server."""
    page = sign_in(site, "alice", path="")
    wire = Wire(page.page)
    page.open("/chat/")
    page.start_new()
    return page, wire


@pytest.fixture
def picture() -> Callable[[Page, str], None]:
    """`picture(page, "conversation")` keeps a screenshot in test-results/."""
    RESULTS.mkdir(exist_ok=True)

    def take(page: Page, name: str) -> None:
        page.screenshot(path=RESULTS / f"{name}.png")

    return take
