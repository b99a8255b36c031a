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
_GRAM = 12  # characters; every quote of a message that is at least this long is found
_FEW = 500  # characters; looked up in a message one by one, more of them in a set of its grams
_MARGIN = 512  # characters read beyond what is kept, and dropped: a secret cut in half could not be recognised
_MAX_PRIVATE_CHARS = 100_000  # characters looked for in one exception; a bound on the time this takes

_QUOTED = r"b?\"(?:[^\"\\]|\\.)*\"|b?'(?:[^'\\]|\\.)*'"
_HEADERS = r"set-cookie|cookie|(?:proxy-)?authorization"
# What repeats is bounded, or ends the match: text that a client chose must not cost more than its length.
_PATTERNS = (
    # scheme://user:password@host -- what it connects to stays readable
    (re.compile(r"(?i)\b([a-z][a-z0-9+.-]{0,20}://[^\s:/@]{0,200}):[^\s/@]{1,500}@"), r"\1:" + SECRET_MARK + "@"),
    # a header's whole value: a cookie is several values, an authorization several words
    (re.compile(rf"(?i)\b((?:{_HEADERS})[\"']?\s{{0,9}}[:=]\s{{0,9}})({_QUOTED}|[^\r\n'}}\]]+)"), r"\1" + SECRET_MARK),
    (re.compile(rf"(?i)([\"'](?:{_HEADERS}|x-api-key|x-csrftoken)[\"']\s?,\s?)({_QUOTED})"), r"\1" + SECRET_MARK),
    (re.compile(r"(?i)\b(bearer|basic|token)\s+[a-z0-9._~+/=-]{8,}"), r"\1 " + SECRET_MARK),
    (
        re.compile(
            r"(?i)((?:(?:api|secret|access|private)[-_]?key|password|passwd|pwd|secret|csrftoken|sessionid|ticket|token)"
            rf"[\"']?\s{{0,9}}[:=]\s{{0,9}})({_QUOTED}|[^\s,;&)}}\]]+)"
        ),
        r"\1" + SECRET_MARK,
    ),
    (re.compile(r"\bsk-[A-Za-z0-9_-]{8,}"), SECRET_MARK),
    (re.compile(r"\beyJ[A-Za-z0-9_-]{8,1000}\.[A-Za-z0-9_-]{1,4000}\.[A-Za-z0-9_-]*"), SECRET_MARK),
    # PostgreSQL's DETAIL and CONTEXT lines quote whole rows, cut at lengths of their own
    (re.compile(r"(?m)(^[ \t|]*|\\n)(DETAIL|CONTEXT|HINT):(?:(?!\\n).)*"), r"\1\2: " + SECRET_MARK),
)


def redact(text: str, private_texts: Iterable[str] = ()) -> str:
    """Return `text` without known secrets and without `private_texts`, in whatever form they are quoted."""
    budget = _MAX_PRIVATE_CHARS
    for private in private_texts:
        if private.strip() and budget > 0:
            text = _without_private(text, private[:budget])
            budget -= len(private)
    for secret in _known_secrets():
        if secret in text:
            text = text.replace(secret, SECRET_MARK)
    for pattern, replacement in _PATTERNS:
        text = pattern.sub(replacement, text)
    return text


def redact_start(text: str, limit: int, private_texts: Iterable[str] = ()) -> str:
    """Return at most `limit` characters of the beginning of `text`, redacted."""
    if len(text) <= limit:
        return redact(text, private_texts)
    return redact(text[: limit + _MARGIN], private_texts)[:-_MARGIN][:limit]


def redact_end(text: str, limit: int, private_texts: Iterable[str] = ()) -> str:
    """Return at most `limit` characters of the end of `text`, redacted."""
    if len(text) <= limit:
        return redact(text, private_texts)
    return redact(text[-limit - _MARGIN :], private_texts)[_MARGIN:][-limit:]


def _without_private(text: str, private: str) -> str:
    private = private.strip()
    forms = _escaped(private)
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


def _escaped(value: str) -> set[str]:
    """The value as it is, and as Python and JSON write it."""
    as_bytes = value.encode("utf-8", "surrogatepass")
    plain = {value, repr(value)[1:-1], repr(as_bytes)[2:-1]}
    return plain | {json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1]}


def _without_quotes_of(text: str, private: str) -> str:
    """Replace every stretch of at least _GRAM characters that also stands in `private`."""
    if len(private) < _GRAM:
        return text
    grams = private if len(text) < _FEW else {private[i : i + _GRAM] for i in range(len(private) - _GRAM + 1)}
    kept: list[str] = []
    done = at = 0
    while at + _GRAM <= len(text):
        if text[at : at + _GRAM] not in grams:
            at += 1
            continue
        end = at + _GRAM
        while end < len(text) and text[end + 1 - _GRAM : end + 1] in grams:
            end += 1
        kept += (text[done:at], TEXT_MARK)
        done = at = end
    kept.append(text[done:])
    return "".join(kept)


_kept: set[str] = set()


def keep_secret(value: str) -> None:
    """From now on, never show `value`. For keys that are in no setting."""
    _kept.add(value)
    _known_secrets.cache_clear()


@functools.cache
def _known_secrets() -> tuple[str, ...]:
    """The values of this deployment's settings that nobody may read, longest first."""
    values = {settings.SECRET_KEY, *map(str, settings.SECRET_KEY_FALLBACKS), *conf.errors().secrets}
    for database in settings.DATABASES.values():
        values.add(str(database.get("PASSWORD") or ""))
    for layer in getattr(settings, "CHANNEL_LAYERS", {}).values():
        for host in layer.get("CONFIG", {}).get("hosts", ()):
            # As channels-redis takes them: a URL, a dict, or a (host, port) tuple.
            facts = host if isinstance(host, dict) else {"address": host if isinstance(host, str) else ""}
            values |= {_password_of(str(facts.get("address", ""))), str(facts.get("password") or "")}
    values.add(_password_of(getattr(settings, "REDIS_URL", "") or ""))
    values |= _kept
    values |= {unquote(value) for value in values} | {quote(value, safe="") for value in values}
    values |= {form for value in values for form in _escaped(value)}
    return tuple(sorted((value for value in values if len(value) >= _MIN_SECRET_CHARS), key=len, reverse=True))


def _password_of(url: str) -> str:
    try:
        return urlsplit(url).password or ""
    except ValueError:
        return ""


def _forget(**_: object) -> None:
    _known_secrets.cache_clear()


setting_changed.connect(_forget)
