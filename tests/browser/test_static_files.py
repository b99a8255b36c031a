"""What a browser fetches of the page, before and after `collectstatic`, and what it keeps."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

HASHED = re.compile(r"\.[0-9a-f]{12}\.\w+$")
# What came from the network, as the browser itself counts; of a file that it had kept, no byte did.
FETCHED = """() => performance.getEntriesByType("resource")
    .filter(({ name }) => name.includes("/static/"))
    .map(({ name, transferSize }) => [new URL(name).pathname, transferSize])"""


def fetched(page: Page) -> dict[str, int]:
    """Address of each static file that the page has asked for -> bytes that came over the network."""
    page.wait_for_load_state("networkidle")
    found = page.evaluate(FETCHED)
    loaded = [address for address, size in found if size > 0]
    assert len(loaded) == len(set(loaded)), "something came twice"
    return {address: 0 for address, _ in found} | {address: size for address, size in found if size > 0}


def preloads(page: Page) -> set[str]:
    links = page.locator("link[rel=modulepreload]")
    return set(links.evaluate_all("(links) => links.map(({ href }) => new URL(href).pathname)"))


@pytest.fixture
def gathered_site(own_site):
    """After `collectstatic` and a restart, as docs/how-to/deploy.md has it."""
    own_site.manage("collectstatic", "--noinput")
    own_site.restart()
    return own_site


def test_a_browser_fetches_each_version_of_a_file_once(gathered_site, sign_in):
    alice = sign_in(gathered_site, "alice")
    first = fetched(alice.page)
    modules = preloads(alice.page)
    assert len(modules) > 40
    assert {address for address in first if address.endswith("js")} == modules
    assert [address for address in first if not HASHED.search(address)] == []
    assert all(first[address] > 0 for address in modules)
    alice.ask("hello")
    alice.page.goto("/chat/login/")  # elsewhere, and back
    alice.open("/chat/")
    assert fetched(alice.page) == dict.fromkeys(first, 0)
    for address in modules:
        kept = alice.page.request.get(address).headers
        assert kept["cache-control"] == "max-age=315360000, public, immutable", address
        assert kept["content-encoding"] == "gzip", address


def test_an_upgrade_reaches_a_browser_at_the_next_load(own_site, sign_in):
    """From plain names to hashed ones: no module of the version before, which the browser may still keep, is used."""
    alice = sign_in(own_site, "alice")
    plain = fetched(alice.page)
    assert {address for address in plain if address.endswith("js")} == preloads(alice.page)
    assert [address for address in plain if HASHED.search(address)] == []
    own_site.manage("collectstatic", "--noinput")
    own_site.restart()
    alice.wait_connected()  # the open page goes on with what it has
    alice.ask("hello")
    alice.open("/chat/")
    assert fetched(alice.page).keys().isdisjoint(plain)
    alice.ask("and again")


def test_the_pages_of_staff_and_of_errors_find_their_files(gathered_site, sign_in):
    olivia = sign_in(gathered_site, "olivia", path="")
    failed: list[str] = []
    olivia.page.on("response", lambda answer: failed.append(answer.url) if answer.status >= 400 else None)
    for path in ("/admin/", "/admin/errors/routingfailure/", "/chat/errors/NOT_FOUND", "/chat/login/"):
        olivia.page.goto(path)
        addresses = fetched(olivia.page)
        assert addresses
        assert [address for address in addresses if not HASHED.search(address)] == [], path
    expect(olivia.page.locator("body")).to_be_visible()
    assert failed == []


def test_the_client_module_keeps_its_address(gathered_site, sign_in):
    """For pages that embed it: plain names throughout, or those of the deployment, as `{% static %}` gives them."""
    alice = sign_in(gathered_site, "alice")
    hashed = next(address for address in preloads(alice.page) if re.search(r"/chat/client\.[0-9a-f]{12}\.js$", address))
    before = fetched(alice.page).keys()
    for address in (hashed, "/static/chat/client.js"):
        kind = alice.page.evaluate("async (address) => typeof (await import(address)).ChatClient", address)
        assert kind == "function"
    more = fetched(alice.page).keys() - before
    assert "/static/chat/client.js" in more
    assert [address for address in more if HASHED.search(address)] == []
    assert len(more) > 5
