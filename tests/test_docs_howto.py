"""Whoever follows a how-to gets what it promises: its files, commands and tests are run in a project of their own."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs_project import DocsProject
from tests.services.client import SiteClient
from tests.services.process import wait_until
from tests.test_docs import DOCS, ROOT

HOW_TO = DOCS / "how-to"
FENCE = re.compile(r"^(.*)\n```(python|sh|toml|ini|nginx)$", re.MULTILINE)
MARK = re.compile(r"<!-- ((file|append): \S+|run|serve|not run: .+) -->$")
PAGES = [DOCS / "tutorial.md", *sorted(HOW_TO.glob("*.md"))]
PERSON = """
import uuid
from django.contrib.auth.models import AbstractUser
from django.db import models

class Person(AbstractUser):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    username = None
    email = models.EmailField(unique=True)
    USERNAME_FIELD = "email"
    REQUIRED_FIELDS = []
"""
PLAIN_PAGE = """
from django.contrib import admin
from people.models import Person

admin.site.register(Person)
"""
CREATE_PEOPLE = """
from people.models import Person
for name, is_staff in (("alice", False), ("olivia", True)):
    person = Person(email=f"{name}@localhost", is_staff=is_staff, is_superuser=is_staff)
    person.set_password("pw")
    person.save()
"""


@pytest.fixture(scope="session")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which this repository was installed with pip, as another project would."""
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("packages")
    for name in ("chat", "errors"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "requirements-apps.in"):
        shutil.copy(ROOT / name, source)
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--no-build-isolation"]
    done = subprocess.run([*command, "--target", target, source], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return target


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory, packages: Path) -> Path:
    """The project at the end of install.md, with which the other pages begin."""
    folder = tmp_path_factory.mktemp("installed")
    DocsProject(folder, packages).follow(HOW_TO / "install.md", is_served=False)
    return folder


@pytest.fixture
def project(tmp_path: Path, packages: Path) -> Iterator[DocsProject]:
    project = DocsProject(tmp_path, packages)
    yield project
    project.close()


@pytest.mark.parametrize("name", ["message-type.md", "error-code.md", "notify.md", "test.md"])
def test_its_code_works_and_its_tests_pass(tmp_path: Path, packages: Path, installed: Path, name: str) -> None:
    DocsProject(tmp_path, packages, {"install.md": installed}).follow(HOW_TO / name)


async def test_an_existing_project_has_the_chat_and_its_admin(project: DocsProject) -> None:
    """One with a user model of its own: UUIDs for keys, and a mail address to sign in with."""
    project.run(
        "django-admin startproject mysite . && python manage.py startapp shop && python manage.py startapp people"
    )
    (project.folder / "people" / "models.py").write_text(PERSON)
    with (project.folder / "mysite" / "settings.py").open("a") as settings:
        settings.write("INSTALLED_APPS += ['people']\nAUTH_USER_MODEL = 'people.Person'\n")
    (project.folder / "people" / "admin.py").write_text(PLAIN_PAGE)
    project.run("python manage.py makemigrations people")
    project.follow(HOW_TO / "install.md", is_served=False, is_prepared=True)
    project.run(f"python manage.py shell --no-imports -c {shlex.quote(CREATE_PEOPLE)}")
    project.follow_server(HOW_TO / "install.md")
    alice, olivia = SiteClient(project.url, prefix="/assistant"), SiteClient(project.url, prefix="/assistant")
    alice.sign_in("alice@localhost", "pw")
    assert alice.get_text("/assistant/")[0] == 200
    assert alice.get_text("/static/chat/client.js")[0] == 200
    assert alice.get_text("/assistant/errors/LLM_TIMEOUT")[0] == 200
    async with await alice.connect() as socket:
        await socket.expect("connection_status")
        await socket.send(type="user_message", ref="r1", content="hello")
        ack = await socket.expect("ack", ref="r1")
        await socket.expect("ai_response", reply_id=ack["reply_id"], state="complete", timeout=20)
        await socket.send(type="stop", ref="r2", reply_id="nobodys")
        reference = (await socket.expect("error", ref="r2"))["error"]["reference"]
    olivia.sign_in("olivia@localhost", "pw")
    for address in ("/admin/", "/admin/chat/chatsession/", "/admin/errors/routingfailure/"):
        assert olivia.get_text(address)[0] == 200, address
    assert "failure-lookup" in olivia.get_text("/admin/")[1]
    assert 'href="/admin/people/person/add/' in olivia.get_text("/admin/people/person/")[1]
    style = re.search(r'href="(/static/errors/plain_pages\.\S*css)"', olivia.get_text("/admin/people/person/add/")[1])
    assert style
    assert olivia.get_text(style[1])[0] == 200
    wait_until(lambda: "NOT_FOUND" in record_of(olivia, reference), "the record is there")
    status, transcript = olivia.get_text(f"/admin/chat/chatsession/{ack['session_id']}/change/")
    assert status == 200
    assert "hello" in transcript
    log = (project.folder / "server.log").read_text()
    assert re.search(rf"^chat\.routing_failed .*\breference={reference} .*\bcode=NOT_FOUND ", log, re.MULTILINE), log
    assert "is broken" not in log


@pytest.mark.parametrize("document", PAGES, ids=lambda document: document.name)
def test_no_block_is_left_out(document: Path) -> None:
    """Each says what becomes of it, and what is not run says why."""
    text = document.read_text()
    assert [mark for mark, _ in FENCE.findall(text) if not MARK.match(mark)] == []


async def test_the_tutorial_leads_to_an_assistant_that_answers_and_fails(project: DocsProject) -> None:
    project.follow(DOCS / "tutorial.md")
    me = SiteClient(project.url)
    me.sign_in("me", "tea")
    async with await me.connect() as socket:
        await socket.send(type="user_message", ref="r1", content="How long does green tea take?")
        ack = await socket.expect("ack", ref="r1")
        await socket.expect("ai_response", reply_id=ack["reply_id"], state="complete", timeout=20)
        said = "".join(frame["content"] for frame in socket.received if frame["type"] == "ai_response")
        assert said.strip() == "Green tea: three minutes at 75 degrees."
        await socket.send(type="user_message", ref="r2", content="A coffee, please", session_id=ack["session_id"])
        error = (await socket.expect("error", timeout=20))["error"]
    assert error["message"] == "The assistant is unavailable right now."
    assert "coffee" not in str(error)
    wait_until(lambda: "nobody here makes coffee" in record_of(me, error["reference"]), "the record is there")


def test_the_readme_starts_it_the_plain_django_way(tmp_path: Path) -> None:
    """Its second set of commands, in a fresh checkout; what pip installs is here already."""
    for name in ("chat", "errors", "config", "deploy"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "manage.py", tmp_path)
    (block,) = re.findall(r"^```sh\n(pip install .*?)^```$", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    install, *commands, serve = block.splitlines()
    assert install == "pip install -r requirements.txt"
    project = DocsProject(tmp_path, tmp_path)
    del project.environment["SECRET_KEY"]
    project.environment["PORT"] = str(project.port)
    try:
        project.run("\n".join(commands))
        project.serve(f"{serve} {project.port}")
        site = SiteClient(project.url)
        site.sign_in("demo", "demo")
        assert site.get_text("/chat/")[0] == 200
    finally:
        project.close()


def record_of(client: SiteClient, reference: str) -> str:
    """The page of the failure with this reference, as the admin finds it; or what is there instead."""
    _, found = client.get_text(f"/admin/errors/routingfailure/?q={reference}")
    links = re.findall(r'href="(/admin/errors/routingfailure/[0-9a-f-]{36}/change/)', found)
    return client.get_text(links[0])[1] if links else found
