"""Migrated databases for servers that tests start: one is migrated per test process, each server gets a copy of it."""

from __future__ import annotations

import itertools
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.environment import clean, database_kind, sqlite_url
from tests.services.postgres import change_database, create_database
from tests.services.process import ServerFailed

ROOT = Path(__file__).resolve().parent.parent.parent
MANAGE_TIMEOUT_S = 120.0

# Everybody who may sign in at a server of ours. olivia is staff and superuser; the others are plain people.
PASSWORD = "a long enough password"
PEOPLE = ("alice", "bob", "mallory")
STAFF = ("olivia",)
FILL = f"""
from django.contrib.auth import get_user_model
from django.contrib.auth.hashers import make_password
from django.core.management import call_command
call_command("migrate", verbosity=0)
password = make_password({PASSWORD!r})  # once: it is slow on purpose
for name in {PEOPLE + STAFF!r}:
    is_staff = name in {STAFF!r}
    get_user_model().objects.create(username=name, password=password, is_staff=is_staff, is_superuser=is_staff)
"""


def server_environment(database_url: str, **variables: str) -> dict[str, str]:
    """What a server or a command of ours runs with: our programs on PATH, a production-like configuration."""
    return clean(dict(os.environ)) | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONUNBUFFERED": "1",
        "DJANGO_SETTINGS_MODULE": "config.settings",
        "DEBUG": "0",
        "SECRET_KEY": secrets.token_urlsafe(50),
        "ALLOWED_HOSTS": "127.0.0.1",
        "CHAT_ALLOWED_ORIGINS": "http://127.0.0.1",
        "DATABASE_URL": database_url,
        **variables,
    }


def run_manage(
    arguments: Sequence[str], environment: Mapping[str, str], *, check: bool = True
) -> subprocess.CompletedProcess[str]:
    """Run manage.py to its end.

    Raises:
        ServerFailed: it exited with an error and `check` is set; the text tells what it printed.
    """
    done = subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT,
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=MANAGE_TIMEOUT_S,
    )
    if check and done.returncode:
        raise ServerFailed(f"manage.py {' '.join(arguments)} exited {done.returncode}\n{done.stdout}{done.stderr}")
    return done


class MigratedDatabases:
    """Copies of one migrated database that knows `PEOPLE` and `STAFF`, of the kind this run is on.

    Args:
        postgres_url: A PostgreSQL to make them on, instead.
    """

    def __init__(self, postgres_url: str | None = None) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="switchboard-databases-"))
        self._numbers = itertools.count(1)
        self._unique = secrets.token_hex(4)  # the workers of a run share one PostgreSQL
        self._is_sqlite = postgres_url is None and database_kind() == "sqlite"
        self._postgres_url = postgres_url
        self._template_url: str | None = None

    def create(self) -> str:
        """The DATABASE_URL of a new, migrated database that only the caller uses."""
        template_url = self._template_url = self._template_url or self._migrate_template()
        name = f"server_{self._unique}_{next(self._numbers)}"
        if self._is_sqlite:
            copy = self._folder / f"{name}.sqlite3"
            shutil.copyfile(self._template_path, copy)
            return sqlite_url(copy)
        return create_database(template_url, name, template=self._template_name)

    def close(self) -> None:
        """Remove the files; a private PostgreSQL goes with its databases."""
        shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def _template_path(self) -> Path:
        return self._folder / "template.sqlite3"

    @property
    def _template_name(self) -> str:
        return f"template_{self._unique}"

    def _migrate_template(self) -> str:
        if self._is_sqlite:
            url = sqlite_url(self._template_path)
        else:
            server_url = self._postgres_url or os.environ["DATABASE_URL"]
            url = create_database(change_database(server_url, "postgres"), self._template_name)
        environment = server_environment(url, CHAT_SINGLE_PROCESS="true")
        run_manage(["shell", "--no-imports", "--command", FILL], environment)
        return url
