"""Which models there are: one from the LLM_* variables, or several from a TOML file."""

from __future__ import annotations

import functools

import msgspec
from django.core.exceptions import ImproperlyConfigured

from chat.llm import endpoint, providers_file
from chat.llm.providers_file import MaxTokensField, ProviderSettings
from errors.conf import Positive, forget_when, read


class LlmSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of one OpenAI-compatible server. Each can be set as LLM["name"] or in the environment as LLM_NAME."""

    base_url: str = ""  # such as https://api.example.org/v1; empty: CHAT_PROVIDER decides
    api_key: str = ""  # many local servers need none
    model: str = ""  # the server's name for it
    system_prompt: str = ""  # said before every conversation
    max_tokens: Positive | None = None  # tokens of one answer; none: the server's own limit
    max_tokens_field: MaxTokensField = "max_tokens"  # the server's name for it; newer models accept only the longer one
    context_tokens: Positive = 8_000  # tokens of conversation given to the model, by our estimate
    allow_plain_http: bool = False  # keys and conversations in the clear, even beyond your own network
    providers_file: str = ""  # path of a TOML file with several; wins over the variables above


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
        return providers_file.load(settings.providers_file)
    if not settings.base_url:
        return []
    if not settings.model:
        raise ImproperlyConfigured("LLM_MODEL is missing: LLM_BASE_URL names a server, and it needs the model's name.")
    endpoint.check("LLM_BASE_URL", settings.base_url, allow_plain_http=settings.allow_plain_http)
    return [
        ProviderSettings(
            id=settings.model,
            name=settings.model,
            base_url=settings.base_url,
            api_key=endpoint.checked_key("LLM_API_KEY", settings.api_key),
            model=settings.model,
            system_prompt=settings.system_prompt,
            max_tokens=settings.max_tokens,
            max_tokens_field=settings.max_tokens_field,
            context_tokens=settings.context_tokens,
        )
    ]


def unused() -> list[str]:
    """Return the variables that are set, where neither a server nor a file is named that they could belong to."""
    settings, initial = llm(), LlmSettings()
    if settings.base_url or settings.providers_file:
        return []
    fields = LlmSettings.__struct_fields__
    return [f"LLM_{field.upper()}" for field in fields if getattr(settings, field) != getattr(initial, field)]


forget_when(("LLM",), llm.cache_clear)
