"""The pages as the server renders them, and the page's modules in node. Their interplay is for the browser tier."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
from graphlib import TopologicalSorter
from html.parser import HTMLParser
from pathlib import Path

import pytest
from django.contrib.auth import get_user_model
from django.contrib.staticfiles import finders
from django.test import Client

ROOT = Path(__file__).resolve().parent.parent
STATIC = ROOT / "chat" / "static" / "chat"
VENDOR = STATIC / "vendor"
PASSWORD = "correct horse battery"
SESSION_URL = "/chat/s/3f0c9a3e-5d35-4a53-9f60-0b1f6f1d0001/"


class Markup(HTMLParser):
    """Everything in a page that could execute or fetch something, and its ids."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.inline: list[str] = []  # handlers, style attributes, javascript: addresses
        self.addresses: list[str] = []
        self.blocks: list[tuple[str, dict[str, str | None], str]] = []  # script and style elements with their text
        self._open: tuple[str, dict[str, str | None]] | None = None
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name.startswith("on") or name == "style" or (value or "").strip().lower().startswith("javascript:"):
                self.inline.append(f"<{tag} {name}={value}>")
            if name in {"src", "href", "action"} and value:
                self.addresses.append(value)
            if name == "id" and value:
                self.ids.append(value)
        if tag in {"script", "style"}:
            self._open = (tag, dict(attrs))
            if "src" in dict(attrs):
                self.blocks.append((tag, dict(attrs), ""))

    def handle_data(self, data: str) -> None:
        if self._open and data.strip():
            self.blocks.append((*self._open, data))

    def handle_endtag(self, tag: str) -> None:
        if tag in {"script", "style"}:
            self._open = None


@pytest.fixture
def eve(people):
    """A person whose name would break a page that trusts it."""
    return people("</script><img src=x onerror=alert(1)>")


def facts_of(html: str) -> dict[str, object]:
    return json.loads(re.search(r'<script id="page-facts" type="application/json">(.*?)</script>', html, re.S)[1])


@pytest.fixture
def member(transactional_db):
    """Alice, who has a password."""
    return get_user_model().objects.create_user("alice", password=PASSWORD)


class TestWhoMayOpenThePage:
    @pytest.mark.parametrize("url", ["/chat/", SESSION_URL])
    def test_sends_a_stranger_to_the_sign_in_and_back(self, url, member):
        client = Client()
        refused = client.get(url)
        assert (refused.status_code, refused["Location"]) == (302, f"/chat/login/?next={url}")
        signed_in = client.post(refused["Location"], {"username": "alice", "password": PASSWORD, "next": url})
        assert (signed_in.status_code, signed_in["Location"]) == (302, url)
        assert client.get(url).status_code == 200

    @pytest.mark.parametrize(
        "elsewhere",
        ["https://evil.example/", "//evil.example/", "/\\evil.example/", "javascript:alert(1)", "http:///evil.example"],
    )
    def test_never_redirects_to_another_site(self, elsewhere, member):
        answer = Client().post("/chat/login/", {"username": "alice", "password": PASSWORD, "next": elsewhere})
        assert (answer.status_code, answer["Location"]) == (302, "/chat/")

    def test_says_nothing_about_which_part_of_a_sign_in_was_wrong(self, member):
        texts = []
        for name in ("alice", "nobody"):
            answer = Client().post("/chat/login/", {"username": name, "password": "wrong"})
            assert answer.status_code == 200
            texts.append(re.search(r'role="alert".*?</div>', answer.content.decode(), re.S)[0])
        assert texts[0] == texts[1]

    def test_signs_out_by_post_only(self, people):
        client = people("alice").client
        assert client.get("/chat/logout/").status_code == 405
        assert client.get("/chat/").status_code == 200
        assert client.post("/chat/logout/")["Location"] == "/chat/login/"
        assert client.get("/chat/").status_code == 302

    def test_signing_out_needs_the_token_of_the_page(self, people):
        person = people("alice")
        strict = Client(enforce_csrf_checks=True)
        strict.cookies = person.client.cookies
        assert strict.post("/chat/logout/").status_code == 403
        token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', strict.get("/chat/").content.decode())[1]
        assert strict.post("/chat/logout/", {"csrfmiddlewaretoken": token}).status_code == 302

    def test_answers_reading_methods_only(self, people):
        client = people("alice").client
        assert client.head("/chat/").status_code == 200
        assert client.post("/chat/").status_code == 405


class TestAnAddressThatLeadsNowhere:
    @pytest.mark.parametrize("url", ["/chat/login", SESSION_URL.removesuffix("/")])
    def test_a_missing_slash_is_forgiven(self, url, eve):
        answer = eve.client.get(url)
        assert (answer.status_code, answer["Location"]) == (301, f"{url}/")

    @pytest.mark.parametrize("url", ["/chat/s/notauuid/", "/chat/nope/", "/nothing"])
    def test_is_answered_with_a_page_in_a_browser_and_in_the_one_error_shape_elsewhere(self, url):
        browser = {"accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
        answer = Client().get(url, headers=browser)
        assert (answer.status_code, answer["Vary"]) == (404, "Accept")
        assert "There is no such page" in answer.content.decode()
        assert Markup(answer.content.decode()).addresses[-1] == "/chat/"
        for accept in ("application/json", "*/*"):
            refused = Client().get(url, headers={"accept": accept})
            assert (refused.status_code, refused["Vary"]) == (404, "Accept")
            assert refused.json() == {"error": "This was not found.", "code": "NOT_FOUND"}


class TestMarkup:
    @pytest.mark.parametrize("url", ["/chat/", SESSION_URL, "/chat/login/", "/chat/nope/"])
    def test_executes_nothing_inline_and_fetches_nothing_elsewhere(self, url, eve):
        client = Client() if url == "/chat/login/" else eve.client
        page = Markup(client.get(url, headers={"accept": "text/html"}).content.decode())
        assert page.inline == []
        assert len(page.ids) == len(set(page.ids))
        assert [address for address in page.addresses if not re.match(r"[/#](?!/)", address)] == []
        for tag, attributes, text in page.blocks:
            assert tag == "script", "styles are files"
            assert not text or attributes["type"] == "application/json"

    @pytest.mark.parametrize("url", ["/chat/", "/chat/login/"])
    def test_is_kept_by_no_cache_and_framed_by_nobody(self, url, people):
        client = Client() if url == "/chat/login/" else people("alice").client
        answer = client.get(url)
        assert "no-store" in answer["Cache-Control"]
        policy = dict(part.strip().split(" ", 1) for part in answer["Content-Security-Policy"].split(";"))
        assert policy["frame-ancestors"] == "'none'"
        assert policy["default-src"] == "'self'"
        assert {policy.get(name, "'self'") for name in ("script-src", "style-src", "connect-src")} == {"'self'"}

    def test_refers_to_files_that_exist(self, people):
        for client, url in ((people("alice").client, "/chat/"), (Client(), "/chat/login/")):
            page = Markup(client.get(url).content.decode())
            files = [address.removeprefix("/static/") for address in page.addresses if address.startswith("/static/")]
            assert files
            assert [file for file in files if finders.find(file) is None] == []

    def test_names_every_module_that_its_scripts_import(self, people):
        html = people("alice").client.get("/chat/").content.decode()
        named = re.findall(r'<link rel="modulepreload" href="/static/chat/([^"]+)">', html)
        scripts = {str(path.relative_to(STATIC)) for pattern in ("*.js", "*.mjs") for path in STATIC.rglob(pattern)}
        others = {"admin_site.js", "vendor/markdown-it/LICENSE.punycode.js"}
        assert sorted(named) == sorted(scripts - others)

    def test_says_what_its_buttons_are_before_a_script_runs(self, people):
        html = people("alice").client.get("/chat/").content.decode()
        buttons = re.findall(r"<button(?![^>]*hidden)([^>]*)>(.*?)</button>", html, re.S)
        assert len(buttons) == 5
        for attributes, content in buttons:
            assert "aria-label=" in attributes or re.sub("<.*?>", "", content).strip()
        assert 'placeholder="Write a message"' in html

    @pytest.mark.parametrize("path", ["/chat/", "/chat/login/", "/chat/nowhere/", "/chat/errors/NOT_FOUND"])
    def test_has_the_name_that_is_set(self, people, client, configure, path):
        configure(title="Ask <Ada>")
        visitor = client if "login" in path else people("alice").client
        html = visitor.get(path, HTTP_ACCEPT="text/html").content.decode()
        assert re.search("<title>.*Ask &lt;Ada&gt;</title>", html)
        assert "Switchboard" not in html.replace("How do I use Switchboard?", "")

    @pytest.mark.parametrize(
        ("host", "is_told"), [("testserver", False), ("localhost", False), ("localhost:8001", True)]
    )
    def test_hands_over_the_origins_where_its_own_is_not_among_them(self, eve, settings, host, is_told):
        settings.ALLOWED_HOSTS = ["testserver", "localhost"]
        facts = facts_of(eve.client.get(SESSION_URL, HTTP_HOST=host).content.decode())
        assert facts["allowed_origins"] == (["http://testserver", "http://localhost"] if is_told else None)

    def test_hands_its_facts_to_the_scripts(self, eve, configure):
        configure(fault_commands=False, max_content_chars=123, title="Ask Ada", suggestions=("Why?", "Where to?"))
        facts = facts_of(eve.client.get(SESSION_URL).content.decode())
        assert facts == {
            "api_prefix": "/chat",
            "page_url": "/chat/",
            "login_url": "/chat/login/",
            "socket_path": "/chat/ws",
            "session_id": SESSION_URL.split("/")[3],
            "user_id": eve.user_id,
            "max_content_chars": 123,
            "has_fault_commands": False,
            "title": "Ask Ada",
            "suggestions": ["Why?", "Where to?"],
            "allowed_origins": None,
            "is_development": False,
        }
        configure(fault_commands=True)
        facts = facts_of(eve.client.get("/chat/").content.decode())
        assert (facts["session_id"], facts["has_fault_commands"]) == (None, True)


class TestScripts:
    def test_put_text_into_the_page_as_text_only(self):
        parsers = re.compile(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|\beval\(|new Function")
        scripts = sorted(STATIC.rglob("*.js"))  # libraries are *.mjs; DOMPurify is the one that parses
        assert len(scripts) > 10
        assert [(path.name, found[0]) for path in scripts if (found := parsers.search(path.read_text()))] == []

    def test_use_libraries_as_they_were_published(self):
        """vendor/README.md names every file with its checksum, and one module of ours imports each."""
        rows = re.findall(r"^\| `([^`]+)` .*`(\w{64})` \|$", (VENDOR / "README.md").read_text(), re.M)
        assert {str(path.relative_to(VENDOR)) for path in VENDOR.rglob("*.mjs")} == {name for name, _ in rows}
        for name, checksum in rows:
            assert hashlib.sha256((VENDOR / name).read_bytes()).hexdigest() == checksum, name
            assert (VENDOR / name).parent.joinpath("LICENSE").exists()
            users = [path.name for path in STATIC.rglob("*.js") if name in path.read_text()]
            assert len(users) == 1, users

    def test_import_downwards(self):
        """No two need each other, not even in a comment: some storages of static files follow these, too, and would
        never have done with giving both a name."""
        named = {
            path: {path.parent.joinpath(name).resolve() for name in re.findall(r'"(\.{1,2}/[^"]+)"', path.read_text())}
            for path in STATIC.rglob("*.js")
        }
        assert len(named) > 40
        list(TopologicalSorter(named).static_order())

    def test_find_every_element_they_name(self, people):
        page = Markup(people("alice").client.get("/chat/").content.decode())
        named = re.findall(r'find\("([\w-]+)"\)', (STATIC / "page.js").read_text())
        assert named
        assert set(named) - set(page.ids) == set()

    def test_pass_their_own_tests(self):
        """The client against a scripted server, in node: states, resume, gaps, offsets, exactly once."""
        node = shutil.which("node")
        if node is None:
            pytest.skip("node is not installed")
        files = sorted(map(str, (ROOT / "tests" / "javascript").glob("*.test.mjs")))
        assert files
        run = subprocess.run([node, "--test", *files], capture_output=True, text=True, timeout=120, check=False)
        assert run.returncode == 0, run.stdout[-5000:] + run.stderr[-2000:]
