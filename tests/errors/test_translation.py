"""Another language: `makemessages` finds the texts, and frames, pages and the admin speak it where it is chosen."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth import get_user_model
from django.test import Client

from errors.taxonomy import CATALOGUE, NOT_FOUND
from tests.chat.talks import LIST as SESSIONS
from tests.chat.talks import answer, reader, say, session
from tests.chat.talks import page as talk_page
from tests.environment import clean
from tests.errors.stored import page, staff, store, words
from tests.services.databases import ROOT

pytestmark = pytest.mark.skipif(not shutil.which("xgettext"), reason="needs GNU gettext")

GERMAN = {
    "The message could not be understood.": "Die Nachricht war nicht zu verstehen.",
    "This was not found.": "Das gibt es hier nicht.",
    "It does not exist, or it belongs to somebody else.": "Es existiert nicht oder gehört jemand anderem.",
    "What you should do": "Was Sie tun können",
    "What happened": "Was geschah",
    "What the person read": "Was die Person las",
    "Told to %(count)d connection.": "Einer Verbindung gesagt.",
    "last activity": "letzte Aktivität",
    "stopped by the person": "von der Person angehalten",
    "The connection could not be joined to the conversation.": "Kein Zugang zum Gespräch.",
}


@pytest.fixture(scope="module")
def locale(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that `makemessages` made, with some of its German filled in and compiled."""
    project = tmp_path_factory.mktemp("project")
    for part in ("chat", "errors", "config"):
        shutil.copytree(ROOT / part, project / part, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "manage.py", project)
    environment = clean(dict(os.environ)) | {"DEBUG": "1", "DATABASE_URL": f"sqlite:///{project / 'x.sqlite3'}"}
    command = [sys.executable, "manage.py", "makemessages", "--locale", "de", "--no-wrap", "--verbosity", "0"]
    subprocess.run(command, cwd=project, env=environment, check=True, timeout=120)
    file = project / "locale" / "de" / "LC_MESSAGES" / "django.po"
    text = file.read_text()
    for english, german in GERMAN.items():
        found = re.compile(rf'(msgid "{re.escape(english)}"\n(?:msgid_plural ".*"\n)?msgstr(?:\[0\])?) ""')
        text, count = found.subn(rf'\1 "{german}"', text)
        assert count == 1, english
    file.write_text(text)
    subprocess.run(["msgfmt", "-o", file.with_suffix(".mo"), file], check=True, timeout=60)
    return project / "locale"


@pytest.fixture
def german(settings: Any, locale: Path) -> None:
    """A deployment that speaks German."""
    settings.LOCALE_PATHS, settings.LANGUAGE_CODE = [locale], "de"


@pytest.fixture
def readers(settings: Any, locale: Path) -> None:
    """A deployment that speaks English, and whose readers choose."""
    settings.LOCALE_PATHS = [locale]
    middlewares = list(settings.MIDDLEWARE)
    place = middlewares.index("django.middleware.common.CommonMiddleware")
    settings.MIDDLEWARE = [*middlewares[:place], "django.middleware.locale.LocaleMiddleware", *middlewares[place:]]


def test_every_text_of_the_catalogue_is_found(locale):
    text = (locale / "de" / "LC_MESSAGES" / "django.po").read_text()
    found = {match.replace('\\"', '"') for match in re.findall(r'msgid "(.+)"', text)}
    assert {words for spec in CATALOGUE for words in (spec.message, spec.why, spec.remedy)} <= found


async def test_a_frame_speaks_the_deployments_language(german, alice, failures):
    device = await alice.connect()
    await device.send_text("{")
    error = await device.expect_error("INVALID_FORMAT")
    assert error["message"] == "Die Nachricht war nicht zu verstehen."
    (row,) = await failures()
    assert error["message"] in row.frame
    await device.close()


async def test_a_frame_speaks_it_whatever_its_reader_chose(readers, alice):
    """What was told is stored with the conversation, and other devices read it too."""
    alice.client.defaults["HTTP_ACCEPT_LANGUAGE"] = "de"
    device = await alice.connect()
    assert (await sync_to_async(alice.client.get)("/chat/errors/NOT_FOUND")).status_code == 200
    await device.send_text("{")
    assert (await device.expect_error("INVALID_FORMAT"))["message"] == "The message could not be understood."
    await device.close()


@pytest.mark.django_db
def test_the_admin_of_conversations_speaks_it_too(german):
    rita, talk = reader(), session(get_user_model().objects.create_user("alice"))
    answer(say(talk, "hello"), "", "stopped")
    assert "Letzte Aktivität (UTC)" in words(rita.get(SESSIONS).content.decode())
    assert "von der Person angehalten" in words(rita.get(talk_page(talk)).content.decode())


@pytest.mark.parametrize("language", ["de", "en"])
def test_pages_and_api_speak_their_readers_language(readers, people, language):
    client = people("alice").client
    client.defaults["HTTP_ACCEPT_LANGUAGE"] = language
    answer = client.get("/chat/errors/NOT_FOUND")
    shown = words(answer.content.decode())
    assert ("Das gibt es hier nicht." in shown) is ("Was Sie tun können" in shown) is (language == "de")
    assert ("Es existiert nicht oder gehört jemand anderem." in shown) is (language == "de")
    assert "Accept-Language" in answer["Vary"]
    body = client.get("/chat/sessions/3f1c7a52-0000-4000-8000-000000000000").json()
    assert body["code"] == NOT_FOUND.code
    assert body["error"] == ("Das gibt es hier nicht." if language == "de" else "This was not found.")


def test_the_admin_speaks_its_readers_language(readers, transactional_db):
    """And still tells which sentence it was that the person read, in the deployment's."""
    client: Client = staff()
    client.defaults["HTTP_ACCEPT_LANGUAGE"] = "de"
    shown = words(client.get(page(store("NOT_FOUND"))).content.decode())
    for german in ("Was geschah", "Was die Person las Das gibt es hier nicht.", "Einer Verbindung gesagt."):
        assert german in shown
    registration = '{"error": {"message": "Failed to establish session connection"}}'
    shown = words(client.get(page(store("SERVICE_ERROR", frame=registration))).content.decode())
    assert "Kein Zugang zum Gespräch." in shown
    assert shown.count("Was die Person las") == 1
