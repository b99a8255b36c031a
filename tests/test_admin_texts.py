"""Whatever the admin says can be translated: no label in its Python and no words in its templates are unmarked."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from django.template.base import Lexer, TokenType

ROOT = Path(__file__).resolve().parent.parent
FILES = sorted([*ROOT.glob("chat/admin*.py"), *ROOT.glob("errors/admin*.py"), ROOT / "errors" / "filters.py"])
TEMPLATES = sorted(
    [
        *ROOT.glob("chat/templates/admin/**/*.html"),
        *ROOT.glob("errors/templates/admin/**/*.html"),
        *ROOT.glob("errors/templates/errors/*.html"),
    ]
)
LABELS = {"title", "description", "search_help_text", "verbose_name", "noun", "nouns"}
_WORDS = re.compile(r"[A-Za-z]{2,}")
_ATTRIBUTES = re.compile(r"\b(?:aria-label|title|alt)=\"([^\"]*)\"")


def unmarked_labels(source: str) -> list[str]:
    """The plain strings that are given to what people read as a label, also within a tuple assignment."""
    found: list[tuple[ast.expr, ast.expr]] = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call):
            found += [(ast.Name(word.arg), word.value) for word in node.keywords if word.arg]
        elif isinstance(node, ast.Assign):
            (target,) = node.targets
            if isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
                found += zip(target.elts, node.value.elts, strict=True)
            else:
                found.append((target, node.value))
    return [
        value.value
        for target, value in found
        if isinstance(target, ast.Name)
        and target.id in LABELS
        and isinstance(value, ast.Constant)
        and isinstance(value.value, str)
        and value.value
    ]


def unmarked_words(source: str) -> list[str]:
    """The words that stand in a template as they are; what is in <code> is no language."""
    text, skipped_until = "", ""
    for token in Lexer(source).tokenize():
        word = token.contents.split()[0] if token.token_type == TokenType.BLOCK else ""
        if skipped_until:
            skipped_until = "" if word == skipped_until else skipped_until
        elif word in {"blocktranslate", "comment"}:
            skipped_until = f"end{word}"
        elif token.token_type == TokenType.TEXT:
            text += token.contents
    outside = re.sub(r"(?s)<code>.*?</code>|<[^>]*>|&\w+;", " ", text)
    return [words for words in (outside, *_ATTRIBUTES.findall(text)) if _WORDS.search(words)]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_labels_are_marked(path: Path) -> None:
    assert unmarked_labels(path.read_text()) == []


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: str(path.relative_to(ROOT)))
def test_words_of_templates_are_marked(path: Path) -> None:
    assert unmarked_words(path.read_text()) == []


def test_the_search_finds_what_it_is_for() -> None:
    found = unmarked_labels('title, parameter_name = "state", "state"\nf(description="owner", other="x")')
    assert sorted(found) == ["owner", "state"]
    assert unmarked_words('<nav aria-label="Pages, {{ place }}">{% translate "First" %}{{ x }}</nav>') == ["Pages, "]
    assert unmarked_words("<p>{{ count }} message</p>")
