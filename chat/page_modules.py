"""The modules that the chat page is made of: the page names them all, so that no import waits for another one."""

from __future__ import annotations

import functools
import re
from pathlib import Path

_STATIC = Path(__file__).resolve().parent / "static"
_ENTRY = _STATIC / "chat" / "page.js"
_IMPORT = re.compile(r'^(?:import|export)\b[^;"]*"(\.{1,2}/[^"]+)";', re.MULTILINE)  # absolute ones do not exist here


@functools.cache
def names() -> tuple[str, ...]:
    """Their names as `{% static %}` wants them; the largest first, as a browser fetches six at a time over HTTP/1.1."""
    found: set[Path] = set()
    waiting = [_ENTRY]
    while waiting:
        path = waiting.pop()
        if path not in found:
            found.add(path)
            waiting.extend((path.parent / name).resolve() for name in _IMPORT.findall(path.read_text(encoding="utf-8")))
    by_size = sorted(found, key=lambda path: (-path.stat().st_size, path))
    return tuple(path.relative_to(_STATIC).as_posix() for path in by_size)
