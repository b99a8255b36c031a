"""Finds the servers that tests start, and installs the missing ones where that needs no questions.

With apt-get and root, or sudo without a password, they are installed. Otherwise their tests are skipped and the reason
is told at the end; under CI=true that is a failure.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass

from tests.services.postgres import find_postgres
from tests.services.redis import find_redis

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
    packages = [part.package for part in missing]
    reason = _install(packages)
    advice = f"apt install {' '.join(packages)}"
    return {part.name: reason or f"{advice} did not bring it" for part in missing if part.find() is None}


def _install(packages: list[str]) -> str | None:
    """Install Debian packages without a question; why not, or None."""
    advice = f"apt install {' '.join(packages)}"
    if shutil.which("apt-get") is None:
        return "not installed, and there is no apt-get here"
    prefix = _as_root()
    if prefix is None:
        return f"not installed, and neither root nor sudo without a password: {advice}"
    apt = [*prefix, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-qq", "-o", "Dpkg::Use-Pty=0"]
    for command in (["update"], ["install", "--yes", "--no-install-recommends", *packages]):
        print(f"==> apt-get {' '.join(command)}", flush=True)
        done = subprocess.run([*apt, *command], stdin=subprocess.DEVNULL, capture_output=True, text=True)
        if done.returncode:
            last = (done.stderr or done.stdout).strip().splitlines()[-1:]
            return f"apt-get {command[0]} failed: {' '.join(last)}"
    return None


def _as_root() -> list[str] | None:
    """What goes before a command that needs root; None when it would ask for a password."""
    if os.geteuid() == 0:
        return []
    if shutil.which("sudo") and subprocess.run(["sudo", "-n", "true"], capture_output=True).returncode == 0:
        return ["sudo", "-n"]
    return None
