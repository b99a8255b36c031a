"""Switchboard under a real daphne, started by deploy/daphne.sh as everywhere, with a database of its own."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import tempfile
import urllib.error
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.services.client import SiteClient
from tests.services.databases import PASSWORD, ROOT, run_manage, server_environment
from tests.services.process import OwnedProcess, ServerFailed, find_free_port, wait_until

START_ATTEMPTS = 3  # somebody else may take the free port first
START_TIMEOUT_S = 30.0


class DaphneServer:
    """`with DaphneServer(database_url) as server:` -- ready when it answers its health check.

    DEBUG is off, one origin is allowed (`server.origin`), `/fault` commands are on; without `redis_url` it is a single
    process with the in-memory layer.

    Args:
        database_url: A migrated database; see `MigratedDatabases.create`.
        redis_url: Channel layer; give it to several servers and they are one deployment.
        variables: Further environment (`CHAT_...`), which wins.
        arguments: Further daphne flags, which win.
    """

    def __init__(
        self,
        database_url: str,
        *,
        redis_url: str | None = None,
        variables: dict[str, str] | None = None,
        arguments: tuple[str, ...] = (),
    ) -> None:
        self.port = 0
        self.database_url = database_url
        self._redis_url = redis_url
        self._variables = variables or {}
        self._arguments = arguments
        self._folder = Path(tempfile.mkdtemp(prefix="switchboard-daphne-"))
        self._process: OwnedProcess | None = None
        self._environment: dict[str, str] = {}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def ws_url(self) -> str:
        """The WebSocket's address under the default prefix."""
        return f"ws://127.0.0.1:{self.port}/chat/ws"

    @property
    def origin(self) -> str:
        return self.url

    @property
    def pid(self) -> int:
        return self._running().pid

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.is_running

    def start(self) -> None:
        """Start and await the first healthy answer; does nothing while it runs.

        Raises:
            ServerFailed: it ends or stays silent; the text tells its last words.
        """
        if self.is_running:
            return
        is_first = self.port == 0
        for _ in range(START_ATTEMPTS if is_first else 1):
            if is_first:
                self.port = find_free_port()
                self._environment = self._lay_environment()
            process = self._process = self._launch()
            wait_until(lambda: self._is_healthy() or not self.is_running, "daphne answers", START_TIMEOUT_S)
            if process.is_running:
                return
            if "Address already in use" not in process.output():
                break
        raise ServerFailed(f"daphne exited {process.exit_code}\n{process.last_words()}")

    def terminate(self, timeout_s: float = 20.0) -> int:
        """Ask it to end (SIGTERM) and return its exit code; killed after `timeout_s`."""
        return self._running().end(signal.SIGTERM, timeout_s)

    def wait(self, timeout_s: float) -> int:
        """Await its end and return its exit code; raises `ServerFailed` after `timeout_s`."""
        assert self._process is not None, "it was never started"
        return self._process.wait(timeout_s)

    def kill(self) -> None:
        """End it as a crash would (SIGKILL); the database stays."""
        if self._process is not None:
            self._process.kill()

    def restart(self) -> None:
        """End it if it runs, and start it on the same port, database and key: who was signed in still is."""
        if self.is_running:
            self.terminate()
        self.start()

    def pause(self) -> None:
        """Let it hang: sockets stay open and nothing answers."""
        self._running().pause()

    def resume(self) -> None:
        self._running().resume()

    def send_signal(self, number: signal.Signals) -> None:
        self._running().send_signal(number)

    def manage(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run manage.py on this server's database, with its environment."""
        return run_manage(arguments, self._environment, check=check)

    def sign_in(self, name: str, password: str = PASSWORD) -> SiteClient:
        """A browser's stand-in, signed in as one of `PEOPLE` or `STAFF`."""
        client = SiteClient(self.url)
        client.sign_in(name, password)
        return client

    def output(self) -> str:
        """Everything all its lives have written."""
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    def log_lines(self, **fields: Any) -> list[dict[str, Any]]:
        """The JSON lines of its log so far, oldest first; with `fields`, those that carry all of these values."""
        lines = []
        for text in self.output().splitlines():
            if not text.startswith("{"):
                continue
            try:
                line = json.loads(text)
            except ValueError:
                continue  # half written
            if fields.items() <= line.items():
                lines.append(line)
        return lines

    def await_log_lines(self, count: int, **fields: Any) -> list[dict[str, Any]]:
        """`log_lines` with these values, once there are so many: lines are written a moment after what they tell."""
        wait_until(lambda: len(self.log_lines(**fields)) >= count, f"{count} log lines with {fields}")
        return self.log_lines(**fields)

    def close(self) -> None:
        """End it and remove its files (not its database, which its maker owns)."""
        self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)

    def __enter__(self) -> DaphneServer:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    @property
    def _log(self) -> Path:
        return self._folder / "daphne.log"

    def _lay_environment(self) -> dict[str, str]:
        layer = {"REDIS_URL": self._redis_url} if self._redis_url else {"CHAT_SINGLE_PROCESS": "true"}
        usual = {
            "PORT": str(self.port),
            "CHAT_ALLOWED_ORIGINS": self.origin,
            "CHAT_FAULT_COMMANDS": "true",
            "STATIC_ROOT": str(self._folder / "static"),  # nothing is gathered there, unless a test does it
        }
        return server_environment(self.database_url, **(usual | layer | self._variables))

    def _launch(self) -> OwnedProcess:
        command = [str(ROOT / "deploy" / "daphne.sh"), *self._arguments]
        return OwnedProcess(command, self._log, environment=self._environment, folder=ROOT)

    def _running(self) -> OwnedProcess:
        if self._process is None or not self._process.is_running:
            raise ServerFailed(f"daphne is not running\n{self.output()[-2000:]}")
        return self._process

    def _is_healthy(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/chat/healthz", timeout=2) as answer:
                return answer.status == 200
        except (urllib.error.URLError, OSError):
            return False
