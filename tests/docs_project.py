"""A project made by following a page of docs/: its blocks become files, its commands are run.

Nothing of the repository is on the project's path but the package that `pip install` makes of it.

What stands before a block says what becomes of it:

    <!-- file: shop/models.py -->         the file is this
    <!-- append: mysite/settings.py -->   this comes to its end
    <!-- run -->                          these commands succeed
    <!-- serve -->                        this server answers at 127.0.0.1:8000 (another port, in fact)
    <!-- not run: why -->

A page may begin where another one ends: `<!-- begins with: install.md -->`.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.environment import clean
from tests.services.process import OwnedProcess, find_free_port, wait_until

BLOCK = re.compile(r"^<!-- (file|append|run|serve)(?:: (\S+))? -->\n```\w*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
BEFORE = re.compile(r"^<!-- before:\n(.*?)^-->$", re.MULTILINE | re.DOTALL)
BEGINS_WITH = re.compile(r"^<!-- begins with: (\S+) -->$", re.MULTILINE)
EXAMPLE_PORT = "8000"
TIMEOUT_S = 120


class DocsProject:
    """An empty folder to begin with. `follow` a page, then look at what is there.

    Args:
        packages: Where the package is installed.
        finished: Pages that were followed before, each with the folder that came of it: copied instead.
    """

    def __init__(self, folder: Path, packages: Path, finished: Mapping[str, Path] | None = None) -> None:
        self.folder = folder
        self.finished = finished or {}
        self.port = find_free_port()
        self.server: OwnedProcess | None = None
        self.environment = clean(dict(os.environ)) | {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(packages),
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONUNBUFFERED": "1",
            "SECRET_KEY": secrets.token_urlsafe(50),
        }
        self.environment.pop("DJANGO_SETTINGS_MODULE", None)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def follow(self, page: Path, *, is_served: bool = True, is_prepared: bool = False) -> None:
        """Do what the page says, from top to bottom; `is_prepared`: the project it speaks of is there already."""
        text = page.read_text().replace(EXAMPLE_PORT, str(self.port))
        for name in BEGINS_WITH.findall(text):
            if name in self.finished:
                shutil.copytree(self.finished[name], self.folder, dirs_exist_ok=True)
            else:
                self.follow(page.parent / name, is_served=False)
        for commands in () if is_prepared else BEFORE.findall(text):
            self.run(commands)
        for kind, target, body in BLOCK.findall(text):
            if kind == "run":
                self.run(body)
            elif kind == "serve":
                if is_served:
                    self.serve(body)
            else:
                file = self.folder / target
                file.parent.mkdir(parents=True, exist_ok=True)
                old = file.read_text() if kind == "append" else ""
                file.write_text(f"{old}\n{body}" if old else body)

    def run(self, commands: str) -> str:
        """Run shell commands in the project's folder; what they printed."""
        done = subprocess.run(
            ["/bin/sh", "-eu", "-c", commands],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
        )
        assert done.returncode == 0, f"{commands}\n{done.stdout[-3000:]}{done.stderr[-3000:]}"
        return done.stdout

    def serve(self, command: str) -> None:
        """Start the server that the page starts, and await that it listens."""
        shell = ["/bin/sh", "-eu", "-c", f"exec {command.strip()}"]
        self.server = OwnedProcess(shell, self.folder / "server.log", environment=self.environment, folder=self.folder)
        wait_until(lambda: self._listens() or not self.server.is_running, "the server listens", 30)
        assert self.server.is_running, self.server.last_words()

    def follow_server(self, page: Path) -> None:
        """Start the server that the page ends with; for a project that is there already."""
        (command,) = [body for kind, _, body in BLOCK.findall(page.read_text()) if kind == "serve"]
        self.serve(command.replace(EXAMPLE_PORT, str(self.port)))

    def close(self) -> None:
        if self.server is not None:
            self.server.kill()

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0
