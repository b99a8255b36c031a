"""One server program that a test owns: started in a session of its own, never left behind.

RedisServer, PostgresServer and DaphneServer are built on this. Signals go only to processes that were started here.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import pwd
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

POLL_S = 0.02

# Waits for the end of its standard input, which comes when the test process closes it or dies, however it dies; then
# it kills the server's process group. `$1` is the group.
LEASH = 'cat >/dev/null; kill -s KILL -- "-$1" 2>/dev/null'


class ServerFailed(RuntimeError):
    """A server did not start, or did not do what it was told; the text ends with its own last words."""


def find_free_port() -> int:
    """A loopback port that nobody listens on now; somebody else may take it before it is used."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until(is_done: Callable[[], bool], what: str, timeout_s: float = 10.0) -> None:
    """Poll until `is_done()`.

    Raises:
        ServerFailed: still not done after `timeout_s` seconds; the text says `what` was awaited.
    """
    deadline = time.monotonic() + timeout_s
    while not is_done():
        if time.monotonic() > deadline:
            raise ServerFailed(f"waited {timeout_s:g} s in vain: {what}")
        time.sleep(POLL_S)


def give_up(reason: str) -> None:
    """End the test that needs a missing part: a skip that says why, a failure under CI=true."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"CI needs it: {reason}", pytrace=False)
    pytest.skip(reason)


def run_as(user: str | None) -> dict[str, Any]:
    """Arguments for subprocess that start a program as this account; None: as we are."""
    if user is None:
        return {}
    return {"user": user, "group": pwd.getpwnam(user).pw_gid, "extra_groups": []}


class OwnedProcess:
    """A running program with its output in a file.

    Args:
        command: Program and arguments.
        log: Standard output and error are appended here.
        user: Account to run as (only root can choose).
    """

    def __init__(
        self,
        command: Sequence[str],
        log: Path,
        *,
        environment: Mapping[str, str] | None = None,
        folder: Path | None = None,
        user: str | None = None,
    ) -> None:
        self.name = Path(command[0]).name
        self.log = log
        self._is_over = False
        with log.open("ab") as output:
            self._child = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=None if environment is None else dict(environment),
                cwd=folder,
                start_new_session=True,
                **run_as(user),
            )
        self._leash = subprocess.Popen(
            ["/bin/sh", "-c", LEASH, "leash", str(self._child.pid)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        atexit.register(self.kill)

    @property
    def pid(self) -> int:
        return self._child.pid

    @property
    def is_running(self) -> bool:
        return self._child.poll() is None

    @property
    def exit_code(self) -> int | None:
        """None while it runs; negative for the signal that ended it."""
        return self._child.poll()

    def output(self) -> str:
        """All it has written so far."""
        return self.log.read_text(errors="replace")

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal to the program itself, not to its children."""
        self._child.send_signal(number)

    def pause(self) -> None:
        """Stop the program and its children where they stand; their sockets stay open."""
        os.kill(self.pid, signal.SIGSTOP)  # the parent first: then no child can be born behind our back
        _signal_all(self._family(), signal.SIGSTOP)

    def resume(self) -> None:
        """Let everything that `pause` stopped go on; does nothing when the program has ended."""
        if self.is_running:
            _signal_all(self._family(), signal.SIGCONT)

    def wait(self, timeout_s: float) -> int:
        """Await the end of the program and return its exit code; raises `ServerFailed` after `timeout_s`."""
        try:
            code = self._child.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise ServerFailed(f"{self.name} still runs after {timeout_s:g} s\n{self.last_words()}") from None
        self.kill()
        return code

    def end(self, number: signal.Signals = signal.SIGTERM, timeout_s: float = 10.0) -> int:
        """Ask the program to end, and kill it after `timeout_s`. Returns its exit code."""
        self.resume()
        self.send_signal(number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._child.wait(timeout_s)
        self.kill()
        return self._child.returncode

    def kill(self) -> None:
        """End the program and its children at once; does nothing when all is over."""
        if self._is_over:
            return
        self._is_over = True
        family = self._family() if self.is_running else []
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        _signal_all(family, signal.SIGKILL)
        self._child.wait()
        self._leash.kill()
        self._leash.communicate()
        atexit.unregister(self.kill)

    def last_words(self, lines: int = 30) -> str:
        """The end of its output, for messages."""
        return "\n".join(self.output().splitlines()[-lines:])

    def _family(self) -> list[int]:
        """The program and everything that descends from it, parents first."""
        return list(_descend(self.pid, _children_by_parent()))


def _signal_all(pids: Iterable[int], number: signal.Signals) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def _descend(pid: int, children: Mapping[int, list[int]]) -> Iterator[int]:
    yield pid
    for child in children.get(pid, []):
        yield from _descend(child, children)


def _children_by_parent() -> dict[int, list[int]]:
    """Who is whose child, from /proc; empty where there is none (then a server counts as childless)."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            parent = stat.read_text().rpartition(")")[2].split()[1]  # the fields after the name in parentheses
            children.setdefault(int(parent), []).append(int(stat.parent.name))
    return children
