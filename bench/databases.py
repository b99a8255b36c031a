"""Databases with people in them: one is filled per kind of server and database, each server gets a copy."""

from __future__ import annotations

import itertools
import json
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.environment import sqlite_url
from tests.services import postgres
from tests.services.postgres import PostgresServer, change_database, create_database
from tests.services.process import ServerFailed

ROOT = Path(__file__).resolve().parent.parent
PEOPLE = 1_000

# As in production: a COMMIT that returned is on the disk. (The tests' PostgreSQL takes short cuts.)
postgres.SETTINGS |= {"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on"}

SECRET_KEY = secrets.token_urlsafe(50)  # of all servers of a run: the login sessions in the copies are signed with it


@dataclass(frozen=True, slots=True)
class Person:
    cookie: str
    session_id: str


@dataclass(frozen=True, slots=True)
class Filled:
    url: str
    people: list[Person]


class Databases:
    """Makes the copies; owns the folder and, when one is asked for, a PostgreSQL."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="switchboard-bench-"))
        self._templates: dict[tuple[str, str], Filled] = {}
        self._numbers = itertools.count(1)
        self.postgres: PostgresServer | None = None

    def create(self, kind: str, settings: str, environment: Mapping[str, str]) -> Filled:
        """A copy of the filled database.

        Args:
            kind: "sqlite" or "postgresql".
            settings: Settings module of the server; with the kind it names the template.
            environment: The server's, without DATABASE_URL.
        """
        template = self._templates.get((kind, settings)) or self._fill(kind, settings, environment)
        name = f"copy_{next(self._numbers)}"
        if kind == "sqlite":
            path = self._folder / f"{name}.sqlite3"
            shutil.copyfile(template.url.removeprefix("sqlite:///"), path)
            return Filled(sqlite_url(path), template.people)
        base = template.url.partition("?")[0].rpartition("/")[2]
        return Filled(create_database(template.url, name, template=base), template.people)

    def _fill(self, kind: str, settings: str, environment: Mapping[str, str]) -> Filled:
        name = f"template_{settings.replace('.', '_')}"
        if kind == "sqlite":
            url = sqlite_url(self._folder / f"{name}.sqlite3")
        else:
            if self.postgres is None:
                self.postgres = PostgresServer()
                self.postgres.start()
            url = create_database(change_database(self.postgres.url, "postgres"), name)
        done = subprocess.run(
            [sys.executable, "-m", "bench.fill", str(PEOPLE)],
            cwd=ROOT,
            env={**environment, "DATABASE_URL": url},
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise ServerFailed(f"{name} could not be filled\n{done.stdout}{done.stderr}")
        people = [Person(**person) for person in json.loads(done.stdout.splitlines()[-1])]
        filled = self._templates[kind, settings] = Filled(url, people)
        return filled

    def close(self) -> None:
        if self.postgres is not None:
            self.postgres.stop()
        shutil.rmtree(self._folder, ignore_errors=True)
