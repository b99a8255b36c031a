"""The locks say what requirements*.in ask for, without asking the network: `make lock` was not forgotten."""

from __future__ import annotations

import ast
import re
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
LOCKS = {
    "requirements-apps.in": "requirements.txt",
    "requirements.in": "requirements.txt",
    "requirements-dev.in": "requirements-dev.txt",
    "requirements-bench.in": "requirements-bench.txt",
}
BUILT_ON = ("requirements-dev.txt", "requirements-bench.txt")  # locks that contain requirements.txt


def read_wanted(name: str) -> list[Requirement]:
    lines = [line.partition("#")[0].strip() for line in (ROOT / name).read_text().splitlines()]
    return [Requirement(line) for line in lines if line and not line.startswith("-")]


def read_pins(name: str) -> dict[str, Requirement]:
    lines = (ROOT / name).read_text().splitlines()
    pins = [Requirement(line) for line in lines if line and not line.lstrip().startswith("#")]
    return {canonicalize_name(pin.name): pin for pin in pins}


def test_the_apps_ask_for_what_they_import_and_for_nothing_else():
    """Whoever installs the package gets it, and has no use for what only this deployment or its tests need."""
    files = [path for part in ("chat", "errors") for path in (ROOT / part).rglob("*.py")]
    imported: set[str] = set()
    for node in (node for path in files for node in ast.walk(ast.parse(path.read_text()))):
        if isinstance(node, ast.Import):
            imported |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add(str(node.module).partition(".")[0])
    foreign = imported - {"chat", "errors"} - sys.stdlib_module_names
    distributions = packages_distributions()
    needed = {canonicalize_name(distributions[name][0]) for name in foreign}
    come_with_others = {"asgiref", "httpx2", "autobahn", "twisted"}  # with Django, openai, daphne
    assert needed - come_with_others | {"daphne"} == {
        canonicalize_name(requirement.name) for requirement in read_wanted("requirements-apps.in")
    }


@pytest.mark.parametrize(("wanted", "lock"), LOCKS.items())
def test_every_requirement_is_pinned_to_a_version_that_fits(wanted, lock):
    pins = read_pins(lock)
    for requirement in read_wanted(wanted):
        version = str(pins[canonicalize_name(requirement.name)].specifier).removeprefix("==")
        assert requirement.specifier.contains(version), f"{lock}: {requirement} is pinned to {version}"


@pytest.mark.parametrize("lock", BUILT_ON)
def test_a_lock_built_on_the_product_s_has_the_same_versions(lock):
    pins = read_pins(lock)
    for name, pin in read_pins("requirements.txt").items():
        assert pins[name].specifier == pin.specifier


@pytest.mark.parametrize("lock", LOCKS.values())
def test_a_lock_names_versions_and_no_place(lock):
    text = (ROOT / lock).read_text()
    assert not re.search(r"://|--index|--find-links|@ file|^\s*-e ", text, re.MULTILINE)
