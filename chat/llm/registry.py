"""Which provider this deployment uses, and the models it offers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import cast

from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

from chat import conf
from chat.llm.base import Backend, Deadlines, ReplyRequest, Usage
from chat.llm.conf import ProviderSettings, providers
from chat.llm.demo import DemoBackend
from chat.llm.openai import OpenAIBackend
from chat.protocol import ModelInfo
from errors.exceptions import ChatError
from errors.taxonomy import MODEL_UNKNOWN


class Choice:
    """Several providers as one: each model goes to the provider that offers it."""

    def __init__(self, backends: Sequence[Backend]) -> None:
        self._of_model = {model.id: backend for backend in backends for model in backend.models}
        self.models: tuple[ModelInfo, ...] = tuple(model for backend in backends for model in backend.models)

    def stream(self, request: ReplyRequest) -> AsyncIterator[str | Usage]:
        return self._provider(request.model_id).stream(request)

    def deadlines(self, model_id: str) -> Deadlines:
        return deadlines(self._provider(model_id), model_id)

    def _provider(self, model_id: str) -> Backend:
        # A model that was taken out of the configuration: its sessions go on with the default one.
        return self._of_model.get(model_id) or self._of_model[self.models[0].id]


def load() -> Backend:
    """Make the configured provider, or the choice of several.

    Raises:
        ImproperlyConfigured: One line: LLM_*, the providers' file or CHAT_PROVIDER is wrong.
    """
    configured = providers()
    if not configured:
        name = conf.chat().provider
        return DemoBackend() if name == "demo" else _made(f"CHAT_PROVIDER is {name!r}", name)
    backends = [_provider(settings) for settings in configured]
    return backends[0] if len(backends) == 1 else Choice(backends)


def deadlines(backend: Backend, model_id: str) -> Deadlines:
    """Return the backend's own deadlines, or those of the settings."""
    own = getattr(backend, "deadlines", None)
    if own is not None:
        return cast("Deadlines", own(model_id))
    settings = conf.chat()
    return Deadlines(settings.first_token_s, settings.next_token_s, settings.reply_total_s)


def _provider(settings: ProviderSettings) -> Backend:
    if settings.type == "openai":
        return OpenAIBackend(settings)
    if settings.type == "demo":
        return DemoBackend()
    return _made(f"LLM_PROVIDERS_FILE, provider {settings.id!r}: type is {settings.type!r}", settings.type)


def _made(what: str, path: str) -> Backend:
    try:
        backend = import_string(path)()
    except Exception as exc:
        # A module or a function in the class's place, or a class that cannot be made without arguments.
        raise ImproperlyConfigured(f"{what}: use demo or the dotted path of a class. {exc}") from exc
    if not getattr(backend, "models", None) or not callable(getattr(backend, "stream", None)):
        raise ImproperlyConfigured(f"{what}: the class needs `models` and `stream`.")
    return cast("Backend", backend)


def check_model(backend: Backend, model_id: str) -> str:
    """Return `model_id` if the provider has it.

    Raises:
        ChatError: MODEL_UNKNOWN.
    """
    if model_id not in {model.id for model in backend.models}:
        raise ChatError(MODEL_UNKNOWN, field="model_id")
    return model_id
