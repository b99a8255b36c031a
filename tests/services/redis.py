"""A private Redis on a loopback port, for the layer's tests and for those that take it down."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from types import TracebackType

import redis

from tests.services.process import OwnedProcess, ServerFailed, find_free_port, wait_until

START_ATTEMPTS = 5  # somebody else may take the free port first
START_TIMEOUT_S = 10.0


def find_redis() -> str | None:
    """The redis-server program, or None."""
    return shutil.which("redis-server")


class RedisServer:
    """`with RedisServer() as server:` -- keeps nothing on disk; after `stop`, `start` is on the same port, empty."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="switchboard-redis-"))
        self._process: OwnedProcess | None = None
        self.port = 0

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Start and await the first PONG; does nothing while it runs.

        Raises:
            ServerFailed: it does not come up; the text tells its last words.
        """
        if self._process is not None and self._process.is_running:
            return
        is_first = self.port == 0
        for _ in range(START_ATTEMPTS if is_first else 1):
            if is_first:
                self.port = find_free_port()
            process = self._process = self._launch()
            wait_until(lambda: self._answers() or not self._is_running(), "redis-server answers", START_TIMEOUT_S)
            if process.is_running:
                return
        raise ServerFailed(f"redis-server does not start\n{process.last_words()}")

    def stop(self) -> None:
        """End it as an operator would; connections break, the port refuses."""
        if self._process is not None:
            self._process.end()

    def kill(self) -> None:
        """End it as a crash would."""
        if self._process is not None:
            self._process.kill()

    def pause(self) -> None:
        """Let it hang: connections stay open and nothing answers."""
        self._running().pause()

    def resume(self) -> None:
        self._running().resume()

    def flush(self) -> None:
        """Forget every key."""
        with redis.Redis(port=self.port) as client:
            client.flushall()

    def __enter__(self) -> RedisServer:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End it and remove its folder."""
        self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _launch(self) -> OwnedProcess:
        program = find_redis()
        if program is None:
            raise ServerFailed("redis-server is not installed")
        options = {
            "bind": "127.0.0.1",
            "port": str(self.port),
            "save": "",
            "appendonly": "no",
            "dir": str(self._folder),
        }
        arguments = [part for name, value in options.items() for part in (f"--{name}", value)]
        return OwnedProcess([program, *arguments], self._folder / "redis.log")

    def _running(self) -> OwnedProcess:
        if self._process is None or not self._process.is_running:
            raise ServerFailed("redis-server is not running")
        return self._process

    def _is_running(self) -> bool:
        return self._process is not None and self._process.is_running

    def _answers(self) -> bool:
        try:
            with redis.Redis(port=self.port, socket_connect_timeout=1, socket_timeout=1) as client:
                return bool(client.ping())
        except redis.RedisError:
            return False
