"""Which models there are: one from the LLM_* variables, or several from a TOML file."""

from __future__ import annotations

import functools
import ipaddress
import os
import tomllib
from urllib.parse import urlsplit

import msgspec
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed

from errors.conf import Positive, PositiveSeconds, read


class LlmSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of one OpenAI-compatible server. Each can be set as LLM["name"] or in the environment as LLM_NAME."""

    base_url: str = ""  # as https://api.example.org/v1; empty: CHAT_PROVIDER decides
    api_key: str = ""  # many local servers need none
    model: str = ""  # what the server calls it
    system_prompt: str = ""  # said before every conversation
    max_tokens: Positive | None = None  # tokens of one answer; none: the server's own limit
    context_tokens: Positive = 8_000  # tokens of conversation given to the model, by our estimate
    providers_file: str = ""  # path of a TOML file with several; wins over the variables above


class ProviderSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One `[[provider]]` of the TOML file: one model that a person may choose."""

    id: str  # what clients call it; stays the same when the model behind it changes
    name: str = ""  # what people read
    type: str = "openai"  # openai | demo | the dotted path of a class of your own
    base_url: str = ""
    api_key_env: str = ""  # name of the environment variable that holds the key: keys do not belong into files
    model: str = ""
    system_prompt: str = ""
    max_tokens: Positive | None = None
    context_tokens: Positive = 8_000
    first_token_s: PositiveSeconds = 15
    next_token_s: PositiveSeconds = 10
    total_s: PositiveSeconds = 120
    order: int = 0  # the smallest is the default; equal ones stay as in the file
    api_key: str = ""  # filled in from the environment; refused in the file


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    provider: list[ProviderSettings]


@functools.cache
def llm() -> LlmSettings:
    return read("LLM", LlmSettings)


def providers() -> list[ProviderSettings]:
    """Return the configured providers in their order; none if neither a file nor a server is named.

    Raises:
        ImproperlyConfigured: One line that says what is wrong where.
    """
    settings = llm()
    if settings.providers_file:
        return _read_file(settings.providers_file)
    if not settings.base_url:
        return []
    if not settings.model:
        raise ImproperlyConfigured("LLM_MODEL is missing: LLM_BASE_URL names a server, and it needs the model's name.")
    _check_endpoint("LLM_BASE_URL", settings.base_url)
    return [
        ProviderSettings(
            id=settings.model,
            name=settings.model,
            base_url=settings.base_url,
            api_key=settings.api_key,
            model=settings.model,
            system_prompt=settings.system_prompt,
            max_tokens=settings.max_tokens,
            context_tokens=settings.context_tokens,
        )
    ]


def _read_file(path: str) -> list[ProviderSettings]:
    where = f"LLM_PROVIDERS_FILE ({path})"
    try:
        with open(path, "rb") as file:
            raw = tomllib.load(file)
        found = msgspec.convert(raw, _File).provider
    except OSError as exc:
        raise ImproperlyConfigured(f"{where} cannot be read: {exc.strerror}.") from exc
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as exc:
        raise ImproperlyConfigured(f"{where}: {exc}.") from exc
    if not found:
        raise ImproperlyConfigured(f"{where} names no [[provider]].")
    if len({provider.id for provider in found}) < len(found):
        raise ImproperlyConfigured(f"{where}: two providers have the same id.")
    return [_complete(where, provider) for provider in sorted(found, key=lambda provider: provider.order)]


def _complete(where: str, provider: ProviderSettings) -> ProviderSettings:
    where = f"{where}, provider {provider.id!r}"
    if provider.api_key:
        raise ImproperlyConfigured(f"{where}: name the variable that holds the key in api_key_env.")
    key = os.environ.get(provider.api_key_env, "") if provider.api_key_env else ""
    if provider.api_key_env and not key:
        raise ImproperlyConfigured(f"{where}: the environment variable {provider.api_key_env} is empty.")
    if provider.type == "openai":
        if not provider.base_url or not provider.model:
            raise ImproperlyConfigured(f"{where}: base_url and model are needed.")
        _check_endpoint(f"{where}: base_url", provider.base_url)
    return msgspec.structs.replace(provider, api_key=key, name=provider.name or provider.id)


def _check_endpoint(what: str, url: str) -> None:
    """Keys and conversations travel there: in the clear only within one's own network."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.scheme == "https" and host and parts.password is None:
        return
    if parts.scheme == "http" and parts.password is None and _is_internal(host):
        return
    raise ImproperlyConfigured(f"{what} must be https://..., or http:// to this machine or a private network.")


def _is_internal(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_private
    except ValueError:
        return bool(host) and ("." not in host or host.endswith((".internal", ".local", ".localhost")))


def _forget(*, setting: str, **_: object) -> None:
    if setting == "LLM":
        llm.cache_clear()


setting_changed.connect(_forget)
