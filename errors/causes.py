"""The cause of failures in few words, as the list, the filters and the summary call it."""

from __future__ import annotations

import re

BRIEF_CHARS = 80  # characters; what fits beside the other columns

_DOTTED = re.compile(r"(?:[\w<>]+\.)*([\w<>]+)(?=:|$)")


def in_brief(cause: str, chars: int = BRIEF_CHARS) -> str:
    """Return the first `chars` characters of a stored cause, in one line and without the exception's module."""
    line = " ".join(_DOTTED.sub(r"\1", cause, count=1).split() if _DOTTED.match(cause) else cause.split())
    return line if len(line) <= chars else f"{line[: chars - 1]}…"
