"""Names of static files after `collectstatic`, without it, and in a project with another storage."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urljoin

import pytest
from django.contrib.staticfiles import finders
from django.contrib.staticfiles.storage import ManifestStaticFilesStorage
from django.core.management import call_command
from django.templatetags.static import static

from chat import checks
from chat.static_files import HashedStaticFilesStorage

HASHED = re.compile(r"/static/.+\.[0-9a-f]{12}\.\w+")
IMPORTED = re.compile(r'^(?:import|export)\b[^;"]*"(\.[^"]+)";', re.MULTILINE)
OURS = "chat.static_files.HashedStaticFilesStorage"
PLAIN = "django.contrib.staticfiles.storage.StaticFilesStorage"
HASHED_OUTSIDE = "django.contrib.staticfiles.storage.ManifestStaticFilesStorage"
HASHED_INSIDE = "tests.test_static_files.HashedInside"


class HashedInside(ManifestStaticFilesStorage):
    """Django's own way for modules that import each other."""

    support_js_module_import_aggregation = True


@pytest.fixture
def gather(settings, tmp_path) -> Callable[..., Path]:
    """`gather()` is what a server started after `collectstatic` has; returns the folder."""

    def collect(storage: str = OURS) -> Path:
        settings.STORAGES = {**settings.STORAGES, "staticfiles": {"BACKEND": storage}}
        settings.STATIC_ROOT = tmp_path / "gathered"
        try:
            call_command("collectstatic", interactive=False, verbosity=0)
        finally:
            settings.STATIC_ROOT = tmp_path / "gathered"  # the next use reads the folder anew
        return settings.STATIC_ROOT

    return collect


@pytest.fixture
def open_page(people) -> Callable[[], str]:
    client = people("alice").client
    return lambda: client.get("/chat/").content.decode()


def preloads(html: str) -> list[str]:
    return re.findall(r'<link rel="modulepreload" href="([^"]+)">', html)


def fetched(html: str, folder: Path) -> set[str]:
    """The addresses of all modules that a browser runs: the page's script, and what each of them imports."""
    waiting = re.findall(r'<script type="module" src="([^"]+)">', html)
    found: set[str] = set()
    while waiting:
        address = waiting.pop()
        if address not in found:
            found.add(address)
            text = (folder / address.removeprefix("/static/")).read_text()
            waiting.extend(urljoin(address, name) for name in IMPORTED.findall(text))
    return found


@pytest.mark.parametrize("storage", [OURS, PLAIN, HASHED_OUTSIDE, HASHED_INSIDE])
def test_what_the_page_preloads_is_what_its_modules_import(storage, gather, open_page):
    """Whatever the project's storage calls them: what is asked for under two names is fetched twice."""
    folder = gather(storage)
    named = preloads(open_page())
    assert len(named) == len(set(named)) > 40
    assert set(named) == fetched(open_page(), folder)


def test_everything_that_the_page_fetches_has_its_content_in_its_name(gather, open_page):
    gather()
    html = open_page()
    addresses = re.findall(r'(?:href|src)="(/static/[^"]+)"', html)
    assert len(addresses) > 50
    assert [address for address in addresses if not HASHED.fullmatch(address)] == []
    assert checks.static_files_are_gathered(None) == []


@pytest.fixture
def drafts(settings, tmp_path) -> Path:
    """A copy of one module, in place of the installed one."""
    settings.STATICFILES_DIRS = [tmp_path / "changed"]
    path = tmp_path / "changed" / "chat" / "page" / "drafts.js"
    path.parent.mkdir(parents=True)
    return shutil.copy(str(finders.find("chat/page/drafts.js")), path)


def test_another_text_in_one_module_renames_those_that_import_it_and_no_other(gather, open_page, drafts):
    folder = gather()
    before = set(preloads(open_page()))
    drafts.write_text(drafts.read_text() + "// new\n")
    os.utime(drafts, (0, 0))  # a step back to a version before
    gather()
    after = set(preloads(open_page()))
    names = [re.sub(r"\.[0-9a-f]{12}", "", address.removeprefix("/static/chat/")) for address in after - before]
    assert sorted(names) == ["page.js", "page/drafts.js"]
    assert all((folder / address.removeprefix("/static/")).exists() for address in before)  # open pages name them


def test_the_client_module_stays_where_the_documents_say(gather):
    folder = gather()
    for module in ("chat/client.js", "chat/client/sender.js"):
        assert (folder / module).read_bytes() == Path(str(finders.find(module))).read_bytes()


def test_libraries_and_comments_are_gathered_as_they_are(gather):
    folder = gather()
    (library,) = folder.glob("chat/vendor/dompurify/purify.es.*.mjs")
    assert library.read_bytes() == Path(str(finders.find("chat/vendor/dompurify/purify.es.mjs"))).read_bytes()
    (module,) = folder.glob("chat/page/history_view.*.js")
    assert '{import("./activity.js").Activity}' in module.read_text()


class TestWithoutCollectstatic:
    def assert_plain(self, open_page) -> None:
        html = open_page()
        assert '<script type="module" src="/static/chat/page.js">' in html
        assert not HASHED.search(html)
        assert static("admin/css/base.css") == "/static/admin/css/base.css"
        assert [problem.id for problem in checks.static_files_are_gathered(None)] == ["chat.W012"]

    def test_names_are_plain_and_a_check_tells(self, open_page):
        self.assert_plain(open_page)

    @pytest.mark.parametrize("file", ["chat/page/strings.js", "admin/css/base.css"])
    def test_after_an_upgrade_they_are_plain_again(self, gather, open_page, file):
        """Hashed names lead to what was gathered for the version before."""
        folder = gather()
        (folder / file).write_text("as it was in the version before")
        self.assert_plain(open_page)

    def test_a_file_that_was_left_out_has_its_plain_name_and_the_others_keep_theirs(self, gather, settings, tmp_path):
        """`collectstatic --ignore`."""
        gather()
        (tmp_path / "more").mkdir()
        (tmp_path / "more" / "new.css").write_text("")
        settings.STATICFILES_DIRS = [tmp_path / "more"]
        assert static("new.css") == "/static/new.css"
        assert HASHED.fullmatch(static("chat/page.js"))

    def test_what_was_left_half_gathered_is_not_used(self, gather, open_page, drafts, monkeypatch):
        """Copies of the new version beside names of the old one."""
        gather()
        drafts.write_text("// new\n")
        monkeypatch.setattr(HashedStaticFilesStorage, "save_manifest", lambda _: sys.exit())
        with pytest.raises(SystemExit):
            gather()
        self.assert_plain(open_page)

    @pytest.mark.parametrize("text", ["", '{"paths": {"chat/page.js": "chat/pa'])
    def test_a_manifest_that_is_being_written_is_none(self, gather, open_page, text):
        (gather() / "staticfiles.json").write_text(text)
        self.assert_plain(open_page)

    def test_in_development_nobody_asks(self, settings):
        settings.DEBUG = True
        assert checks.static_files_are_gathered(None) == []
