"""A private PostgreSQL in a temporary folder, reachable through a unix socket only."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from urllib.parse import urlsplit, urlunsplit

import psycopg
from psycopg import sql

from tests.services.process import OwnedProcess, ServerFailed, run_as, wait_until

OWNER = "switchboard"
START_TIMEOUT_S = 20.0
SETTINGS = {
    "listen_addresses": "",  # no TCP: two runs on one machine never meet
    "max_connections": "200",  # both workers' pools and the servers that tests start
    # Nothing here has to survive a power cut, and the suite commits thousands of times.
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
}


def find_postgres() -> Path | None:
    """The folder with the newest installed `postgres` and `initdb`, or None."""
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda folder: _version(folder.parent.name))
    on_path = shutil.which("initdb")
    for folder in [*reversed(debian), *([Path(on_path).resolve().parent] if on_path else [])]:
        if (folder / "postgres").exists() and (folder / "initdb").exists():
            return folder
    return None


def change_database(url: str, name: str) -> str:
    """The URL of another database of the same server."""
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))


def create_database(url: str, name: str, template: str = "template1") -> str:
    """Create a database on the server of `url`, a copy of `template` (to which nobody may be connected); its URL."""
    statement = sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(template))
    with psycopg.connect(change_database(url, "postgres"), autocommit=True) as connection:
        connection.execute(statement)
    return change_database(url, name)


class PostgresServer:
    """`with PostgresServer() as server:` -- `server.url` is an empty database, for psycopg and for DATABASE_URL."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="switchboard-pg-"))
        self._data = self._folder / "data"
        self._process: OwnedProcess | None = None

    @property
    def url(self) -> str:
        # The socket's folder goes into the query: django-environ leaves %2F in a host as it is.
        return f"postgres://{OWNER}@/{OWNER}?host={self._folder}"

    def start(self) -> None:
        """Start and await the first connection; the first time, lay the cluster out. Does nothing while it runs.

        Raises:
            ServerFailed: not installed, or it does not come up; the text tells its last words.
        """
        if self._process is not None and self._process.is_running:
            return
        is_new = not self._data.exists()
        if is_new:
            self._lay_out()
        options = SETTINGS | {"unix_socket_directories": str(self._folder)}
        arguments = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        process = self._process = OwnedProcess(
            [str(_binaries() / "postgres"), "-D", str(self._data), *arguments],
            self._folder / "postgres.log",
            folder=self._folder,
            user=_unprivileged_user(),
        )
        wait_until(lambda: self._answers() or not process.is_running, "PostgreSQL answers", START_TIMEOUT_S)
        if not process.is_running:
            raise ServerFailed(f"PostgreSQL does not start\n{process.last_words()}")
        if is_new:
            create_database(self.url, OWNER)

    def stop(self) -> None:
        """End it and remove its files."""
        if self._process is not None and self._process.is_running:
            self._process.end(signal.SIGQUIT)  # nothing is worth a clean shutdown
        shutil.rmtree(self._folder, ignore_errors=True)

    def shut_down(self) -> None:
        """End it as an operator would, breaking every connection; `start` brings the same data back."""
        self._running().end(signal.SIGINT)

    def restart(self) -> None:
        """Down and up again; every connection breaks, the data stays."""
        self.shut_down()
        self.start()

    def pause(self) -> None:
        """Let it hang: connections stay open and nothing answers."""
        self._running().pause()

    def resume(self) -> None:
        self._running().resume()

    def __enter__(self) -> PostgresServer:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def _lay_out(self) -> None:
        user = _unprivileged_user()
        if user is not None:
            shutil.chown(self._folder, user)
        command = [str(_binaries() / "initdb"), "-D", str(self._data), "-U", OWNER]
        options = ["--auth=trust", "--encoding=UTF8", "--no-locale", "--no-sync"]
        done = subprocess.run([*command, *options], capture_output=True, text=True, cwd=self._folder, **run_as(user))
        if done.returncode:
            raise ServerFailed(f"initdb failed\n{done.stdout}{done.stderr}")

    def _running(self) -> OwnedProcess:
        if self._process is None or not self._process.is_running:
            raise ServerFailed("PostgreSQL is not running")
        return self._process

    def _answers(self) -> bool:
        try:
            psycopg.connect(change_database(self.url, "postgres"), connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True


def _version(text: str) -> int:
    return int(text) if text.isdigit() else 0


def _binaries() -> Path:
    folder = find_postgres()
    if folder is None:
        raise ServerFailed("PostgreSQL is not installed")
    return folder


def _unprivileged_user() -> str | None:
    """Whom PostgreSQL runs as when we are root, which it refuses; None: as we are."""
    if os.geteuid() != 0:
        return None
    accounts = {account.pw_name for account in pwd.getpwall()}
    return "postgres" if "postgres" in accounts else "nobody"
