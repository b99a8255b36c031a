"""The TOML file with several models. Keys are in the environment: they do not belong in files."""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from typing import Any, Literal

import msgspec
from django.core.exceptions import ImproperlyConfigured

from chat.llm import endpoint
from errors.conf import Positive, PositiveSeconds

MaxTokensField = Literal["max_tokens", "max_completion_tokens"]

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class ProviderSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One `[[provider]]` of the TOML file: one model that a person may choose."""

    id: str  # what clients call it; stays the same when the model behind it changes
    name: str = ""  # what people read
    type: str = "openai"  # openai | demo | the dotted path of a class of your own
    base_url: str = ""
    api_key_env: str = ""  # name of the environment variable that holds the key
    model: str = ""
    system_prompt: str = ""
    max_tokens: Positive | None = None
    max_tokens_field: MaxTokensField = "max_tokens"  # what the server calls it
    context_tokens: Positive = 8_000
    first_token_s: PositiveSeconds = 15
    next_token_s: PositiveSeconds = 10
    total_s: PositiveSeconds = 120
    allow_plain_http: bool = False  # keys and conversations in the clear, also beyond one's own network
    order: int = 0  # the smallest is the default; equal ones stay as in the file
    api_key: str = ""  # filled in from the environment; refused in the file


def load(path: str) -> list[ProviderSettings]:
    """Return the file's providers in their order.

    Raises:
        ImproperlyConfigured: One line that says what is wrong where.
    """
    where = f"LLM_PROVIDERS_FILE ({path})"
    try:
        with open(path, "rb") as file:
            raw = tomllib.load(file)
    except OSError as exc:
        raise ImproperlyConfigured(f"{where} cannot be read: {exc.strerror}.") from exc
    except ValueError as exc:  # no TOML, or not even UTF-8
        raise ImproperlyConfigured(f"{where} is no TOML: {_one_line(exc)}.") from exc
    _refuse_unknown(where, raw, {"provider"})
    tables = raw.get("provider")
    if not isinstance(tables, list) or not tables:
        raise ImproperlyConfigured(f"{where} names no [[provider]].")
    found = [_provider(where, number, table) for number, table in enumerate(tables, 1)]
    if len({provider.id for provider in found}) < len(found):
        raise ImproperlyConfigured(f"{where}: two providers have the same id.")
    return sorted(found, key=lambda provider: provider.order)


def _provider(where: str, number: int, table: Any) -> ProviderSettings:
    if not isinstance(table, dict):
        raise ImproperlyConfigured(f"{where} names no [[provider]].")
    name = table.get("id")
    where = f"{where}, provider {repr(name) if isinstance(name, str) and name else number}"
    if "api_key" in table:
        raise ImproperlyConfigured(f"{where}: name the variable that holds the key in api_key_env.")
    _refuse_unknown(where, table, set(ProviderSettings.__struct_fields__) - {"api_key"})
    try:
        provider = msgspec.convert(table, ProviderSettings)
    except msgspec.ValidationError as exc:
        problem, _, key = str(exc).partition(" - at `$.")
        raise ImproperlyConfigured(f"{where}: {key.rstrip('`') + ': ' if key else ''}{problem}.") from exc
    if not provider.id:
        raise ImproperlyConfigured(f"{where}: id is empty.")
    if provider.type == "openai":
        if not provider.base_url or not provider.model:
            raise ImproperlyConfigured(f"{where}: base_url and model are needed.")
        endpoint.check(f"{where}: base_url", provider.base_url, allow_plain_http=provider.allow_plain_http)
    key = _key(where, provider.api_key_env) if provider.api_key_env else ""
    return msgspec.structs.replace(provider, api_key=key, name=provider.name or provider.id)


def _key(where: str, variable: str) -> str:
    # What stands there by mistake may be the key itself: it is repeated only if it looks like a variable.
    if not _VARIABLE.fullmatch(variable):
        raise ImproperlyConfigured(f"{where}: api_key_env is not the name of an environment variable.")
    shown = variable if variable.isupper() else "that api_key_env names"
    key = endpoint.checked_key(f"{where}: the environment variable {shown}", os.environ.get(variable, ""))
    if not key:
        raise ImproperlyConfigured(f"{where}: the environment variable {shown} is empty.")
    return key


def _refuse_unknown(where: str, table: dict[str, Any], known: set[str]) -> None:
    for key in table:
        if key not in known:
            near = difflib.get_close_matches(key, sorted(known), n=1)
            raise ImproperlyConfigured(
                f"{where}: {key!r} is not a setting{f'; did you mean {near[0]}?' if near else '.'}"
            )


def _one_line(exc: Exception) -> str:
    return " ".join(str(exc).split())
