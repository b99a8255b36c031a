"""A session's title, from its first message."""

from __future__ import annotations

import unicodedata

MAX_CHARS = 60  # characters; fits one line of a session list

_JOINERS = {"\u200d", "\ufe0f", "\ufe0e"}  # zero-width joiner, variation selectors


def title_of(content: str) -> str:
    """Return the first words of `content` on one line; longer text is cut between words, never within a character."""
    line = " ".join(content.split())
    if len(line) <= MAX_CHARS:
        return line
    cut = line.rfind(" ", MAX_CHARS // 2, MAX_CHARS)
    if cut == -1:
        cut = MAX_CHARS - 1
        while cut > 1 and (_continues(line[cut]) or line[cut - 1] == "\u200d"):
            cut -= 1
    return line[:cut].rstrip() + "…"


def _continues(char: str) -> bool:
    """Whether `char` belongs to the character before it: an accent, a skin tone, a joined emoji."""
    is_skin_tone = "\U0001f3fb" <= char <= "\U0001f3ff"
    return bool(unicodedata.combining(char)) or char in _JOINERS or is_skin_tone
