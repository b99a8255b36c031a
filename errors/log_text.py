"""Text that stays within its line: no value begins a line of its own, ends one, or steers a terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import Any

MAX_TRACEBACK_CHARS = 20_000  # characters of a traceback that is no recorded failure's, its end


def visible(text: str, *, but: str = "") -> str:
    """Return `text` with whatever does not print written as an escape; characters of `but` stay."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() or char in but else repr(char)[1:-1] for char in text)


def indented(traceback: str) -> str:
    """Return a traceback none of whose lines begins at the margin."""
    return textwrap.indent(visible(traceback.rstrip(), but="\n"), "    ", lambda line: True)


def pairs(event: str, facts: Mapping[str, Any]) -> str:
    """Return one readable line: the event, and key=value for each fact that there is."""
    return " ".join([visible(event), *(f"{visible(k)}={_quoted(v)}" for k, v in facts.items() if v is not None)])


def _quoted(value: Any) -> str:
    """In quotes wherever it could be taken for more than one value."""
    text = str(value)
    if not text or any(char in ' "=\\' or not char.isprintable() for char in text):
        text = '"{}"'.format(text.replace("\\", "\\\\").replace('"', '\\"'))
    return visible(text)
