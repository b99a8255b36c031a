"""Takes secrets and the message's own text out of what staff get to see (log, record, admin).

Exceptions quote what they were given: DSNs, headers, SQL parameters, provider bodies. Tracebacks here never hold frame
locals; what is left to replace are the exceptions' own words.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterable
from urllib.parse import quote, unquote, urlsplit

from django.conf import settings
from django.core.signals import setting_changed

from errors import conf

SECRET_MARK = "[secret]"  # noqa: S105 -- what stands in a secret's place
TEXT_MARK = "[message text]"

_MIN_SECRET_CHARS = 4  # shorter values would blot out ordinary words
_GRAM = 12  # characters; quotes of a message of at least twice this length are found wherever they begin
_MAX_PRIVATE_CHARS = 100_000  # characters looked for in one exception; a bound on the time this takes
_PATTERNS = (
    # scheme://user:password@host -- what it connects to stays readable
    (re.compile(r"(?i)\b([a-z][a-z0-9+.-]*://[^\s:/@]*):[^\s/@]+@"), r"\1:" + SECRET_MARK + "@"),
    (re.compile(r"(?i)\b(bearer|basic|token)\s+[a-z0-9._~+/=-]{8,}"), r"\1 " + SECRET_MARK),
    (
        re.compile(
            r"(?i)([\"']?(?:set-cookie|cookie|(?:proxy-)?authorization|x-api-key|api[-_]?key|password|passwd|secret|"
            r"csrftoken|sessionid|access[-_]?token|ticket|token)[\"']?\s*[:=]\s*)(\"[^\"]*\"|'[^']*'|[^\s,;&)}\]]+)"
        ),
        r"\1" + SECRET_MARK,
    ),
    (re.compile(r"\bsk-[A-Za-z0-9_-]{8,}"), SECRET_MARK),
    (re.compile(r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*"), SECRET_MARK),
    # PostgreSQL's DETAIL and CONTEXT lines quote whole rows, cut at lengths of their own
    (re.compile(r"(?m)^(DETAIL|CONTEXT|HINT):.*$"), r"\1: " + SECRET_MARK),
)


def redact(text: str, private_texts: Iterable[str] = ()) -> str:
    """Return `text` without known secrets and without `private_texts`, in whatever form they are quoted."""
    budget = _MAX_PRIVATE_CHARS
    for private in private_texts:
        if private and budget > 0:
            text = _without_private(text, private[:budget])
            budget -= len(private)
    for secret in _known_secrets():
        if secret in text:
            text = text.replace(secret, SECRET_MARK)
    for pattern, replacement in _PATTERNS:
        text = pattern.sub(replacement, text)
    return text


def _without_private(text: str, private: str) -> str:
    forms = {private, repr(private)[1:-1], json.dumps(private)[1:-1], json.dumps(private, ensure_ascii=False)[1:-1]}
    if len(private) < _MIN_SECRET_CHARS:
        # Too short to replace everywhere: only where it is quoted.
        for form in forms:
            text = text.replace(f"'{form}'", f"'{TEXT_MARK}'").replace(f'"{form}"', f'"{TEXT_MARK}"')
        return text
    for form in sorted(forms, key=len, reverse=True):
        text = text.replace(form, TEXT_MARK)
    for form in forms:
        text = _without_quotes_of(text, form)
    return text


def _without_quotes_of(text: str, private: str) -> str:
    """Replace every stretch of at least 2 * _GRAM - 1 characters that also stands in `private`."""
    if len(private) < _GRAM:
        return text
    grams = {private[i : i + _GRAM] for i in range(len(private) - _GRAM + 1)}
    kept: list[str] = []
    done = 0
    at = 0
    while at + _GRAM <= len(text):
        if text[at : at + _GRAM] not in grams:
            at += _GRAM
            continue
        begin, end = at, at + _GRAM
        while begin > done and text[begin - 1 : begin - 1 + _GRAM] in grams:
            begin -= 1
        while end < len(text) and text[end + 1 - _GRAM : end + 1] in grams:
            end += 1
        kept += (text[done:begin], TEXT_MARK)
        done = at = end
    kept.append(text[done:])
    return "".join(kept)


@functools.cache
def _known_secrets() -> tuple[str, ...]:
    """The values of this deployment's settings that nobody may read, longest first."""
    values = {settings.SECRET_KEY, *map(str, settings.SECRET_KEY_FALLBACKS), *conf.errors().secrets}
    for database in settings.DATABASES.values():
        values.add(str(database.get("PASSWORD") or ""))
    for layer in getattr(settings, "CHANNEL_LAYERS", {}).values():
        for host in layer.get("CONFIG", {}).get("hosts", ()):
            values.add(_password_of(host if isinstance(host, str) else str(host.get("address", ""))))
    values.add(_password_of(getattr(settings, "REDIS_URL", "") or ""))
    values |= {unquote(value) for value in values} | {quote(value, safe="") for value in values}
    return tuple(sorted((value for value in values if len(value) >= _MIN_SECRET_CHARS), key=len, reverse=True))


def _password_of(url: str) -> str:
    try:
        return urlsplit(url).password or ""
    except ValueError:
        return ""


def _forget(**_: object) -> None:
    _known_secrets.cache_clear()


setting_changed.connect(_forget)
