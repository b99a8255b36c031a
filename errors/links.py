"""Where a failure leads to. The addresses belong to the project and the chat, so they come from settings."""

from __future__ import annotations

import functools
from typing import Any
from urllib.parse import quote

from django.http import HttpRequest
from django.utils.module_loading import import_string

from errors import conf

CODE_IN_URL = "{code}"


def help_url(code: str) -> str | None:
    """Return the address of the code's page; None where this deployment has none."""
    return _address(conf.errors().help_url, code)


@functools.lru_cache(maxsize=1_000)
def _address(template: str, code: str) -> str | None:
    return template.replace(CODE_IN_URL, quote(code, safe="")) or None


def conversation(request: HttpRequest, failure: Any) -> str | None:
    """Return where staff read the conversation of a stored failure; None if it is gone, or not for this reader."""
    path = conf.errors().conversation_link
    return import_string(path)(request, failure) if path else None
