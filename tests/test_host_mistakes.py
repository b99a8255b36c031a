"""Mistakes in a project that uses the chat are told by `manage.py check`, one line each, and refuse to serve."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.environment import clean
from tests.services.process import find_free_port
from tests.test_docs import ROOT

SETTINGS = """
SECRET_KEY = "f0r31gn-" * 8
DEBUG = True
ALLOWED_HOSTS = ["*"]
INSTALLED_APPS = [
    "daphne", "unfold", "django.contrib.admin", "django.contrib.auth", "django.contrib.contenttypes",
    "django.contrib.sessions", "django.contrib.messages", "errors", "chat",
]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
TEMPLATES = [{
    "BACKEND": "django.template.backends.django.DjangoTemplates",
    "APP_DIRS": True,
    "OPTIONS": {"context_processors": [
        "django.template.context_processors.request", "django.contrib.auth.context_processors.auth",
        "django.contrib.messages.context_processors.messages",
    ]},
}]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
ROOT_URLCONF = "urls"
ASGI_APPLICATION = "asgi.application"
CHANNEL_LAYERS = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}
CHAT = {"allowed_origins": ["http://127.0.0.1:8000"], "path_prefix": "/assistant", "single_process": True}
"""
URLS = """
from django.contrib import admin
from django.urls import include, path
urlpatterns = [path("admin/", admin.site.urls), path("assistant/", include("chat.urls"))]
"""
ASGI = """
import os
from django.core.asgi import get_asgi_application
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "settings")
http = get_asgi_application()
from chat.asgi import with_chat
application = with_chat(http)
"""
# What a project adds to the settings above -> ids of what is found, and words of it.
MISTAKES = {
    "": ([], ()),
    "CHAT['provder'] = 'x'": (["chat.E001"], ("CHAT['provder'] is not a setting; did you mean provider?",)),
    "CHAT['outbox_size'] = 0": (["chat.E001"], ("CHAT['outbox_size'] (environment: CHAT_OUTBOX_SIZE) is 0",)),
    "CHAT['path_prefix'] = '/talk'": (
        ["chat.E010"],
        ("CHAT_PATH_PREFIX is /talk", "have the chat at /assistant/", "path(\"talk/\", include(\"chat.urls\"))"),
    ),
    "INSTALLED_APPS.remove('unfold')": (["errors.E005"], ("'unfold' is missing",)),
    "INSTALLED_APPS.remove('unfold'); INSTALLED_APPS.append('unfold')": (["errors.E005"], ("'unfold' comes after",)),
    "del INSTALLED_APPS[1:3]; ROOT_URLCONF = 'chat_urls'": ([], ()),  # no admin, so no theme
    "CHANNEL_LAYERS = {}": (["chat.E011"], ("CHANNEL_LAYERS has no 'default'.",)),
    "del CHANNEL_LAYERS": (["chat.E011"], ()),
    "del CHANNEL_LAYERS; DEBUG = False": (["chat.E011"], ()),
    "USE_TZ = False": (["errors.E006"], ("USE_TZ is False; it must be True.",)),
    "ERRORS = {'enabld': 1}": (["errors.E001"], ("did you mean enabled?",)),
}  # fmt: skip


def run(folder: Path, mistake: str, *command: str) -> subprocess.CompletedProcess[str]:
    (folder / "settings.py").write_text(f"{SETTINGS}\n{mistake}\n")
    (folder / "urls.py").write_text(URLS)
    (folder / "chat_urls.py").write_text(URLS.replace('path("admin/", admin.site.urls), ', ""))
    (folder / "asgi.py").write_text(ASGI)
    environment = clean(dict(os.environ)) | {"PYTHONPATH": f"{ROOT}:{folder}", "DJANGO_SETTINGS_MODULE": "settings"}
    return subprocess.run(
        [sys.executable, "-m", *command], cwd=folder, env=environment, capture_output=True, text=True, timeout=60
    )


@pytest.mark.parametrize("mistake", MISTAKES)
def test_check_tells_it(tmp_path, mistake):
    ids, words = MISTAKES[mistake]
    done = run(tmp_path, mistake, "django", "check")
    assert "Traceback" not in done.stderr
    found = [line.partition(") ")[0].partition("(")[2] for line in done.stderr.splitlines() if line.startswith("?: (")]
    assert found == ids, done.stderr
    assert [word for word in words if word not in done.stderr] == []
    assert (done.returncode == 0) is (ids == [])


@pytest.mark.parametrize("mistake", ["CHAT['provder'] = 'x'", "CHANNEL_LAYERS = {}"])
def test_daphne_refuses_to_start_in_one_line(tmp_path, mistake):
    done = run(tmp_path, mistake, "daphne", "-p", str(find_free_port()), "asgi:application")
    assert done.returncode != 0
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"switchboard: {MISTAKES[mistake][0][0]}: ")


def test_the_pages_of_failures_follow_the_prefix(tmp_path):
    """Nobody has to type it again."""
    ask = (
        "from errors import conf, links; e = conf.errors(); print(links.help_url('X'), e.home_url, e.conversation_link)"
    )
    command = ("django", "shell", "--no-imports", "-c", ask)
    assert run(tmp_path, "", *command).stdout.split() == [
        "/assistant/errors/X",
        "/assistant/",
        "chat.admin_links.conversation",
    ]
    own = run(tmp_path, "ERRORS = {'help_url': '', 'home_url': '/help/'}", *command)
    assert own.stdout.split() == ["None", "/help/", "chat.admin_links.conversation"]
