"""The modules that the chat page is made of: the page names them all, so that no import waits for another one."""

from __future__ import annotations

import functools
import re
from pathlib import Path
from urllib.parse import urljoin

from django.apps import apps
from django.contrib.staticfiles.storage import staticfiles_storage
from django.templatetags.static import static

ENTRY = "chat/page.js"
# An import up to its address, for the multiline mode; absolute addresses do not exist here.
IMPORT = r'^(?:import|export)\b[^;"]*"(?=\.{1,2}/)'
_STATIC = Path(__file__).resolve().parent / "static"
_IMPORTED = re.compile(rf'{IMPORT}([^"]+)";', re.MULTILINE)


@functools.cache
def names() -> tuple[str, ...]:
    """Their names as `{% static %}` wants them; the largest first, as a browser fetches six at a time over HTTP/1.1."""
    found: set[Path] = set()
    waiting = [_STATIC / ENTRY]
    while waiting:
        path = waiting.pop()
        if path not in found:
            found.add(path)
            imported = _IMPORTED.findall(path.read_text(encoding="utf-8"))
            waiting.extend((path.parent / name).resolve() for name in imported)
    by_size = sorted(found, key=lambda path: (-path.stat().st_size, path))
    return tuple(path.relative_to(_STATIC).as_posix() for path in by_size)


def addresses() -> list[str]:
    """Theirs, in the same order, as the imports lead to them: what has two addresses is fetched twice."""
    if _imports_are_renamed():
        return [static(name) for name in names()]
    entry = static(ENTRY)  # the only one that may have another name than in the source
    return [entry if name == ENTRY else urljoin(entry, name.removeprefix("chat/")) for name in names()]


def _imports_are_renamed() -> bool:
    """Whether the storage of static files writes the names that it gives into the modules that import them, too."""
    is_storage_used = apps.is_installed("django.contrib.staticfiles")
    return is_storage_used and getattr(staticfiles_storage, "support_js_module_import_aggregation", False)
