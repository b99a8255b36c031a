"""Missing servers are installed where that needs no questions; else one sentence says what to do."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests import install
from tests.install import Part, install_missing, require

ROOT = Path(__file__).resolve().parent.parent
KETTLE = Part("the kettle", "kettle-server", lambda: shutil.which("kettle"))
SPOON = Part("the spoon", "spoon", lambda: shutil.which("spoon"))
HERE = Part("a shell", "dash", lambda: "/bin/sh")

INSTALLS = """#!/bin/sh
echo "$@" >>"$0.log"
case "$*" in *kettle-server*) printf '#!/bin/sh' >"${0%/*}/kettle"; chmod +x "${0%/*}/kettle";; esac
"""
FAILS = """#!/bin/sh
echo "E: Unable to locate package" >&2
exit 100
"""
IS_BUSY_TWICE = """#!/bin/sh
if [ ! -e "$0.second" ]; then
    [ -e "$0.first" ] && touch "$0.second"
    touch "$0.first"
    echo "E: Could not get lock /var/lib/apt/lists/lock. It is held by process 7 (apt-get)" >&2
    echo "E: Unable to lock directory /var/lib/apt/lists/" >&2
    exit 100
fi
"""


@pytest.fixture
def apt(tmp_path, monkeypatch):
    """Writes an apt-get that any process of this test finds before the real one."""
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(install, "_as_root", list)
    monkeypatch.setattr(install, "APT_POLL_S", 0.01)

    def write(script: str) -> Path:
        program = tmp_path / "apt-get"
        program.write_text(script)
        program.chmod(0o755)
        return tmp_path / "apt-get.log"

    return write


class TestRequire:
    def test_installs_what_is_missing_and_nothing_else(self, apt):
        log = apt(INSTALLS)
        require([HERE, KETTLE], "make tea")
        assert [line.split()[-1] for line in log.read_text().splitlines()] == ["update", "kettle-server"]
        require([HERE, KETTLE], "make tea")
        assert len(log.read_text().splitlines()) == 2

    def test_asks_nobody_where_nothing_is_missing(self, monkeypatch):
        monkeypatch.setenv("PATH", "")
        require([HERE], "make tea")

    @pytest.mark.parametrize(
        ("script", "sentence"),
        [
            (FAILS, "apt-get update failed: E: Unable to locate package (on Debian: apt install kettle-server spoon)"),
            ("#!/bin/sh", "it did not bring it (on Debian: apt install kettle-server spoon)"),
        ],
    )
    def test_ends_in_one_sentence_that_says_what_why_and_how(self, apt, script, sentence):
        apt(script)
        with pytest.raises(SystemExit) as ended:
            require([KETTLE, HERE, SPOON], "make tea")
        assert str(ended.value).startswith("make tea needs the kettle and the spoon: ")
        assert str(ended.value).endswith(sentence)

    def test_names_what_is_still_missing_only(self, apt):
        apt(INSTALLS)
        with pytest.raises(SystemExit) as ended:
            require([KETTLE, SPOON], "make tea")
        assert str(ended.value).startswith("make tea needs the spoon: ")
        assert str(ended.value).endswith("(on Debian: apt install spoon)")

    @pytest.mark.parametrize(
        ("has_apt", "reason"),
        [(True, "neither root nor sudo without a password"), (False, "there is no apt-get here")],
    )
    def test_asks_for_no_password(self, apt, monkeypatch, tmp_path, has_apt, reason):
        if has_apt:
            apt(INSTALLS)
        else:
            monkeypatch.setenv("PATH", str(tmp_path))
        monkeypatch.setattr(install, "_as_root", lambda: None)
        assert install_missing([KETTLE]) == {
            "the kettle": f"not installed, and {reason} (on Debian: apt install kettle-server)"
        }


class TestTwoRunsAtOnce:
    """apt-get does one thing at a time, and fails at once where another one is at work."""

    def test_one_waits_for_the_other_and_says_so_once(self, apt, capsys):
        log = apt(IS_BUSY_TWICE + INSTALLS)
        assert install_missing([KETTLE]) == {}
        assert len(log.read_text().splitlines()) == 2
        assert capsys.readouterr().out.count("another apt-get is at work: waiting for it") == 1

    def test_it_does_not_wait_for_ever(self, apt, monkeypatch):
        monkeypatch.setattr(install, "APT_WAIT_S", 0.05)
        apt(IS_BUSY_TWICE.replace('[ ! -e "$0.second" ]', "true"))
        assert "Unable to lock directory" in install_missing([KETTLE])["the kettle"]


@pytest.mark.parametrize(
    ("module", "variables"),
    [
        ("tests.faults", {}),
        ("tests.faults", {"DATABASE": "postgresql", "PROCESSES": "2", "REDIS": "1"}),
        ("bench", {}),
    ],
)
def test_a_command_whose_servers_cannot_be_had_ends_before_it_begins(tmp_path, module, variables):
    """Here redis-server is hidden, and PostgreSQL wherever it is not one of Debian's."""
    environment = {**variables, "PATH": str(tmp_path)}
    command = [sys.executable, "-m", module]
    outcome = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert outcome.returncode == 1
    assert outcome.stderr.startswith(f"make {'soak' if module == 'tests.faults' else 'bench'} needs ")
    assert "redis-server: not installed, and there is no apt-get here" in outcome.stderr
    assert len(outcome.stderr.splitlines()) == 1
