"""Takes secrets and the message's own text out of what staff get to see (log, record, admin).

Exceptions quote what they were given: DSNs, headers, SQL parameters, provider bodies. Tracebacks here never hold frame
locals; what is left to replace are the exceptions' own words.
"""

from __future__ import annotations

import functools
import json
import re
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import compress, count
from urllib.parse import quote, quote_plus, unquote, urlsplit

from django.conf import settings

from errors import conf

SECRET_MARK = "[secret]"  # noqa: S105 -- what stands in a secret's place
TEXT_MARK = "[message text]"

MARGIN = 512  # characters read beyond what is kept, and dropped: a secret cut in half could not be recognised
MIN_SECRET_CHARS = 4  # shorter values would blot out ordinary words
_GRAM = 12  # characters; every quote of a message that is at least this long is found
_SEED = 6  # characters; of every _STEP characters of what was said, the first _SEED are looked up in a text
_STEP = _GRAM - _SEED + 1  # characters; so that every gram holds a whole seed, wherever it begins
_FEW = 100  # characters; their grams are searched for one by one
_MAX_PRIVATE_CHARS = 500_000  # characters looked for in one failure's texts; a bound on the time this takes
_MAX_KEPT_CHARS = 3_000  # characters of words whose redaction is remembered
_PIECES = re.compile(rf"(?s)(.{{{_SEED}}}).{{0,{_STEP - _SEED}}}")

# Django's own rule for its error page would hide ordinary words too, such as the name of the user model.
_SECRET_NAME = re.compile(
    r"(?i)(?:password|passwd|secret|token|(?:api|secret|access|private|signing|encryption)_?key)s?$"
)
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


class Redactor:
    """Takes secrets, and what was said, out of the texts of one failure.

    A reply's failure knows a whole conversation, and its exceptions are several: what was said is gone through once,
    for all of them.

    Args:
        said: What was said.
        texts: Everything that will be redacted.
    """

    def __init__(self, said: Iterable[str], texts: Sequence[str]) -> None:
        forms = _forms(said, texts)
        self._shorts = _shorts(forms)
        self._grams = _common_grams([form for form in forms if len(form) >= _GRAM], texts)

    def redact(self, text: str) -> str:
        """Return `text` without known secrets and without what was said, in whatever form they are quoted."""
        for short, replacement in self._shorts:
            text = text.replace(short, replacement)
        return _without_secrets(_without_stretches(text, self._grams) if self._grams else text)

    def redact_start(self, text: str, limit: int) -> str:
        """Return at most `limit` characters of the beginning of `text`, redacted."""
        if len(text) <= limit:
            return self.redact(text)
        return self.redact(text[: limit + MARGIN])[:-MARGIN][:limit]

    def redact_end(self, text: str, limit: int) -> str:
        """Return at most `limit` characters of the end of `text`, redacted."""
        if len(text) <= limit:
            return self.redact(text)
        return self.redact(text[-limit - MARGIN :])[MARGIN:][-limit:]


def redact(text: str, private_texts: Iterable[str] = ()) -> str:
    """Return `text` without known secrets and without `private_texts`, in whatever form they are quoted."""
    return Redactor(private_texts, (text,)).redact(text)


def redact_end(text: str, limit: int) -> str:
    """Return at most `limit` characters of the end of `text`, without known secrets."""
    return Redactor((), ()).redact_end(text, limit)


def _forms(said: Iterable[str], texts: Sequence[str]) -> list[str]:
    """What was said, in every form in which `texts` may quote it."""
    forms: list[str] = []
    budget = _MAX_PRIVATE_CHARS
    in_addresses = any("%" in text or "+" in text for text in texts)
    in_escapes = any(r"\\" in text for text in texts)  # JSON within JSON, or the `repr` of JSON
    for text in said:
        if (text := text[:budget].strip()) and budget > 0:
            found = _escaped(text)
            if in_escapes:
                found |= {outer for inner in found for outer in _escaped(inner)}
            if in_addresses:
                found |= {quote(text), quote_plus(text)}
            forms += sorted(found, key=len, reverse=True)
            budget -= len(text)
    return forms


def _shorts(forms: list[str]) -> list[tuple[str, str]]:
    """What is too short to have grams, and what stands in its place."""
    found: list[tuple[str, str]] = []
    for form in forms:
        if len(form) < MIN_SECRET_CHARS:
            # Too short to replace everywhere: only where it is quoted.
            found += [(f"{mark}{form}{mark}", f"{mark}{TEXT_MARK}{mark}") for mark in ("'", '"')]
        elif len(form) < _GRAM:
            found.append((form, TEXT_MARK))
    return found


def _common_grams(forms: list[str], texts: Sequence[str]) -> set[str]:
    """Return every gram of `texts` that is also one of `forms` (and some that are none)."""
    if not forms:
        return set()
    if sum(map(len, texts)) < _FEW:
        grams = {text[i : i + _GRAM] for text in texts for i in range(len(text) - _GRAM + 1)}
        return {gram for gram in grams if any(gram in form for form in forms)}
    seeds = {text[i : i + _SEED] for text in texts for i in range(len(text) - _SEED + 1)}
    common: set[str] = set()
    for form in forms:
        for at in compress(count(0, _STEP), map(seeds.__contains__, _PIECES.findall(form))):
            common.update([form[i : i + _GRAM] for i in range(max(0, at + _SEED - _GRAM), at + 1)])
    return common


def _without_secrets(text: str) -> str:
    return _kept_answer(text, _kept) if len(text) <= _MAX_KEPT_CHARS else _search_secrets(text, _kept)


def _search_secrets(text: str, kept: frozenset[str]) -> str:
    for secret in _known_secrets(kept):
        if secret in text:
            text = text.replace(secret, SECRET_MARK)
    for pattern, replacement in _PATTERNS:
        text = pattern.sub(replacement, text)
    return text


# In a flood the same words come again and again.
_kept_answer = functools.lru_cache(maxsize=256)(_search_secrets)


def _escaped(value: str) -> set[str]:
    """The value as it is, and as Python and JSON write it."""
    as_bytes = value.encode("utf-8", "surrogatepass")
    plain = {value, repr(value)[1:-1], repr(as_bytes)[2:-1]}
    return plain | {json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1]}


def _without_stretches(text: str, grams: set[str]) -> str:
    """Replace every stretch of `text` that is made of `grams`."""
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


# Replaced, never changed: what other threads remember is of the secrets that they asked with.
_kept: frozenset[str] = frozenset()
_keeping = threading.Lock()


def keep_secret(value: str) -> None:
    """From now on, never show `value`. For keys that are in no setting."""
    global _kept
    with _keeping:
        _kept |= {value}


@functools.lru_cache(maxsize=2)
def _known_secrets(kept: frozenset[str]) -> tuple[str, ...]:
    """`kept`, and the values of this deployment's settings that nobody may read, longest first."""
    values = {settings.SECRET_KEY, *map(str, settings.SECRET_KEY_FALLBACKS), *conf.errors().secrets}
    for database in settings.DATABASES.values():
        values.add(str(database.get("PASSWORD") or ""))  # whatever its type
    for layer in getattr(settings, "CHANNEL_LAYERS", {}).values():
        for host in layer.get("CONFIG", {}).get("hosts", ()):
            # As channels-redis takes them: a URL, a dict, or a (host, port) tuple.
            facts = host if isinstance(host, dict) else {"address": host if isinstance(host, str) else ""}
            values |= {_password_of(str(facts.get("address", ""))), str(facts.get("password") or "")}
    values |= set(_hidden_settings()) | kept
    values |= {unquote(value) for value in values} | {quote(value, safe="") for value in values}
    values |= {form for value in values for form in _escaped(value)}
    return tuple(sorted((value for value in values if len(value) >= MIN_SECRET_CHARS), key=len, reverse=True))


def _hidden_settings() -> Iterator[str]:
    """The texts of all settings whose names say that they are secret, at any depth, and the passwords of addresses."""
    waiting = [(name, getattr(settings, name)) for name in dir(settings) if name.isupper()]
    while waiting:
        name, value = waiting.pop()
        if isinstance(value, Mapping):
            waiting += [(str(key), entry) for key, entry in value.items()]
        elif isinstance(value, list | tuple | set | frozenset):
            waiting += [(name, entry) for entry in value]
        elif isinstance(value, str):
            yield value if _SECRET_NAME.search(name) else _password_of(value)


def _password_of(url: str) -> str:
    try:
        return urlsplit(url).password or ""
    except ValueError:
        return ""


conf.forget_when((), _known_secrets.cache_clear, _kept_answer.cache_clear)
