"""Finds the servers that tests start, and installs the missing ones where that needs no questions.

With apt-get and root, or sudo without a password, they are installed. Otherwise `make test` skips their tests and tells
the reason at the end (under CI=true that is a failure); `make soak` and `make bench` end with it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

from tests.services.postgres import find_postgres
from tests.services.redis import find_redis

APT_WAIT_S = 300.0  # for another apt-get, of another run or of the system: it may have much to install
APT_POLL_S = 2.0
CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome")


def find_chromium() -> str | None:
    """The browser that the browser tests drive, or None."""
    return next(filter(None, map(shutil.which, CHROMIUM_NAMES)), None)


def find_node() -> str | None:
    """What runs the tests of the page's modules, or None."""
    return shutil.which("node")


def find_nginx() -> str | None:
    """The proxy of the deployment test, or None."""
    return shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")


@dataclass(frozen=True)
class Part:
    """A program that tests need and pip does not bring."""

    name: str
    package: str
    find: Callable[[], object]


REDIS = Part("redis-server", "redis-server", find_redis)
POSTGRES = Part("PostgreSQL", "postgresql", find_postgres)
CHROMIUM = Part("chromium", "chromium", find_chromium)
NODE = Part("node", "nodejs", find_node)
NGINX = Part("nginx", "nginx", find_nginx)


def install_missing(parts: list[Part]) -> dict[str, str]:
    """Install those parts that are not there; the names of those still missing, with the reason."""
    missing = [part for part in parts if part.find() is None]
    if not missing:
        return {}
    reason = _install([part.package for part in missing]) or "it did not bring it"
    missing = [part for part in missing if part.find() is None]
    advice = f"on Debian: apt install {' '.join(part.package for part in missing)}"
    return {part.name: f"{reason} ({advice})" for part in missing}


def require(parts: list[Part], what: str) -> None:
    """Install those parts that are not there, for a command that is nothing without them.

    Raises:
        SystemExit: One is still missing; one sentence tells what, why, and how to get it.
    """
    missing = install_missing(parts)
    if missing:
        sys.exit(f"{what} needs {' and '.join(missing)}: {next(iter(missing.values()))}")


def _install(packages: list[str]) -> str | None:
    """Install Debian packages without a question; why not, or None."""
    if shutil.which("apt-get") is None:
        return "not installed, and there is no apt-get here"
    prefix = _as_root()
    if prefix is None:
        return "not installed, and neither root nor sudo without a password"
    apt = [*prefix, "env", "DEBIAN_FRONTEND=noninteractive", "LC_ALL=C", "apt-get", "-qq", "-o", "Dpkg::Use-Pty=0"]
    for command in (["update"], ["install", "--yes", "--no-install-recommends", *packages]):
        print(f"==> apt-get {' '.join(command)}", flush=True)
        done = _when_free([*apt, *command])
        if done.returncode:
            last = (done.stderr or done.stdout).strip().splitlines()[-1:]
            return f"apt-get {command[0]} failed: {' '.join(last)}"
    return None


def _when_free(apt: list[str]) -> subprocess.CompletedProcess[str]:
    """Run apt-get; while another one holds its locks, say so and wait. Its own option for that knows one lock only."""
    until = time.monotonic() + APT_WAIT_S
    is_told = False
    while True:
        done = subprocess.run(apt, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        is_busy = done.returncode and "Could not get lock" in done.stderr
        if not is_busy or time.monotonic() > until:
            return done
        if not is_told:
            is_told = True
            print("==> another apt-get is at work: waiting for it", flush=True)
        time.sleep(APT_POLL_S)


def _as_root() -> list[str] | None:
    """What goes before a command that needs root; None when it would ask for a password."""
    if os.geteuid() == 0:
        return []
    if shutil.which("sudo") and subprocess.run(["sudo", "-n", "true"], capture_output=True).returncode == 0:
        return ["sudo", "-n"]
    return None
