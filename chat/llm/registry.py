"""Which provider this deployment uses, and the models it offers."""

from __future__ import annotations

from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

from chat import conf
from chat.llm.base import Backend
from chat.llm.choice import Choice
from chat.llm.conf import ProviderSettings, providers, unused
from chat.llm.demo import DemoBackend
from chat.llm.openai import OpenAIBackend
from errors.exceptions import ChatError
from errors.taxonomy import MODEL_UNKNOWN


def load() -> Choice:
    """Make the configured providers, as one.

    Raises:
        ImproperlyConfigured: One line: LLM_*, the providers' file or CHAT_PROVIDER is wrong.
    """
    configured = providers()
    if not configured:
        name = conf.chat().provider
        if name == "demo" and (without_server := unused()):
            raise ImproperlyConfigured(
                f"{', '.join(without_server)}: no server is named, and the demo would answer. Set LLM_BASE_URL."
            )
        where = f"CHAT_PROVIDER is {name!r}"
        return Choice([(where, DemoBackend() if name == "demo" else _made(where, name))])
    return Choice([_provider(settings) for settings in configured])


def _provider(settings: ProviderSettings) -> tuple[str, Backend]:
    where = f"LLM provider {settings.id!r}"
    if settings.type == "openai":
        return where, OpenAIBackend(settings)
    if settings.type == "demo":
        return where, DemoBackend()
    where = f"LLM_PROVIDERS_FILE, provider {settings.id!r}: type is {settings.type!r}"
    return where, _made(where, settings.type)


def _made(where: str, path: str) -> Backend:
    try:
        backend: Backend = import_string(path)()
    except Exception as exc:
        # A module or a function in the class's place, or a class that cannot be made without arguments.
        reason = " ".join(str(exc).split())
        raise ImproperlyConfigured(f"{where}: use demo or the dotted path of a class. {reason}") from exc
    return backend


def check_model(choice: Choice, model_id: str) -> str:
    """Return `model_id` if there is such a model.

    Raises:
        ChatError: MODEL_UNKNOWN.
    """
    if not choice.has(model_id):
        raise ChatError(MODEL_UNKNOWN, field="model_id")
    return model_id
