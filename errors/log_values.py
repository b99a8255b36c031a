"""Takes secrets out of whatever other libraries add to their log records."""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import islice
from typing import Any

from errors.redaction import SECRET_MARK, Redactor

_MAX_DEPTH = 8  # levels of a value whose parts are looked at one by one; what is deeper is looked at as text
_MAX_ENTRIES = 100  # of one collection
_MAX_NAME_CHARS = 64  # of a name, its end

_SECRET_NAME = re.compile(
    r"(?i)(?:set-cookie|cookie|authorization|(?:api|secret|access|private)[-_]?key|x-api-key"
    r"|password|passwd|pwd|secret|x-csrftoken|csrftoken|sessionid|ticket|token)$"
)


def redact_value(value: Any, limit: int, *, depth: int = 0) -> Any:
    """Return a copy of `value`, whatever it is, that holds no known secret: plain text, numbers, dicts and lists.

    Bounded: of each text `limit` characters, of each collection its first entries, some levels deep.
    """
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, str):
        return Redactor((), ()).redact_start(value, limit)
    if depth < _MAX_DEPTH and isinstance(value, Mapping):
        return {
            redact_value(str(key), limit): _entry(key, entry, limit, depth + 1)
            for key, entry in islice(value.items(), _MAX_ENTRIES)
        }
    if depth < _MAX_DEPTH and isinstance(value, list | tuple | set | frozenset):
        if isinstance(value, list | tuple) and len(value) == 2:  # a header, as servers and clients hold them
            return [redact_value(value[0], limit, depth=depth + 1), _entry(value[0], value[1], limit, depth + 1)]
        return [redact_value(entry, limit, depth=depth + 1) for entry in islice(value, _MAX_ENTRIES)]
    try:
        words = repr(value)
    except Exception as broken:
        words = f"<{type(value).__name__}: {type(broken).__name__} while reading it>"
    return redact_value(words, limit)


def _entry(key: Any, entry: Any, limit: int, depth: int) -> Any:
    if isinstance(entry, str | bytes) and isinstance(key, str | bytes):
        name = key if isinstance(key, str) else key.decode("latin-1")
        if _SECRET_NAME.search(name[-_MAX_NAME_CHARS:]):
            return SECRET_MARK
    return redact_value(entry, limit, depth=depth)
