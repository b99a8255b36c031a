"""Links, file names, function names and commands that the documents name are there."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.core.management import get_commands

from tests.test_docs import DOCS, DOCUMENTS, ROOT

FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: str(document.relative_to(ROOT)))
class TestPointers:
    def test_links_lead_to_a_file_and_a_heading(self, document: Path) -> None:
        text = FENCED.sub("", document.read_text())
        for target in re.findall(r"\]\(([^)\s]+)\)", text):
            if target.startswith(("http://", "https://")):
                continue
            path, _, anchor = target.partition("#")
            file = (document.parent / path).resolve() if path else document
            assert file.exists(), target
            if anchor:
                assert anchor in anchors(file), target

    def test_files_that_it_names_exist(self, document: Path) -> None:
        text = document.read_text()
        named = re.findall(r"`((?:[\w.-]+/)+[\w.-]+\.(?:py|md|sh|js|mjs|txt|toml|in))`", text)
        readers = re.findall(r"^<!-- (?:file|append): (\S+) -->$", text, re.MULTILINE)  # in the reader's own project
        assert [path for path in named if path not in readers and not (ROOT / path).exists()] == []

    def test_names_in_files_exist(self, document: Path) -> None:
        """`chat/router.py`: `HANDLERS` -- what stands behind the colon is defined in that file."""
        for path, name in re.findall(r"`((?:\w+/)*\w+\.py)`: `([\w.]+)", document.read_text()):
            assert name in set(definitions(ROOT / path)), f"{path}: {name}"

    def test_commands_that_it_names_exist(self, document: Path) -> None:
        text = document.read_text()
        targets = re.findall(r"^([a-z-]+):.*##", (ROOT / "Makefile").read_text(), re.MULTILINE)
        assert set(re.findall(r"(?:`|^)make ([a-z-]+)", text, re.MULTILINE)) <= set(targets)
        assert set(re.findall(r"manage\.py ([a-z_]+)", text)) <= set(get_commands())


def test_operations_names_every_event_and_metric() -> None:
    text = (DOCS / "operations.md").read_text()
    sources = [path.read_text() for part in ("chat", "errors") for path in (ROOT / part).rglob("*.py")]
    events = {
        name
        for source in sources
        for name in re.findall(r'log\.\w+\(\s*(?:[^"()]|\([^()]*\)|\[[^\]]*\])*"(chat\.\w+)"', source)
        # Those that are handed on, too; what is a module's is the name of its logger.
        + re.findall(r'"((?:chat|errors)\.[a-z]+_[a-z_]+)"', source)
        if not (ROOT / f"{name.replace('.', '/')}.py").exists()
    }
    metric = re.compile(r'(?:Counter|Gauge|Histogram)(?:MetricFamily)?\(\s*"(\w+)"')
    metrics = {name for source in sources for name in metric.findall(source)}
    assert {"chat.routing_failed", "chat.task_died"} <= events
    assert "chat_failures" in metrics
    assert {name for name in events if f"`{name}`" not in text} == set()
    assert {name for name in metrics if f"`{name}`" not in text and f"`{name}_total`" not in text} == set()


@pytest.mark.parametrize("room", ["errors", "chat"])
def test_architecture_names_every_module(room: str) -> None:
    """In the table of its room, itself or its folder; what every Django app has is not worth a row."""
    _, _, table = (DOCS / "architecture.md").read_text().partition(f"\n`{room}/`, ")
    rows = table.lstrip().partition("\n\n")[2].partition("\n\n")[0]
    assert rows.startswith("| file |")
    named = set(re.findall(rf"`(?:{room}/)?([\w.]+?)/?`", rows))
    modules = {path.relative_to(ROOT / room).parts[0] for path in (ROOT / room).rglob("*.py")}
    assert modules - named == {"__init__.py", "apps.py", "migrations"}


def anchors(document: Path) -> set[str]:
    """The anchors of a page's headings, as code hosts make them."""
    headings = re.findall(r"^#+ (.+)$", FENCED.sub("", document.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def definitions(path: Path) -> Iterator[str]:
    """Names that a module defines: constants, functions, classes, and their methods as Class.method."""
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            yield from (target.id for target in targets if isinstance(target, ast.Name))
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
            for inner in getattr(node, "body", ()) if isinstance(node, ast.ClassDef) else ():
                if isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef):
                    yield f"{node.name}.{inner.name}"
