"""Which provider this deployment uses, and the models it offers."""

from __future__ import annotations

from typing import cast

from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

from chat import conf
from chat.llm.base import Backend
from chat.llm.demo import DemoBackend
from errors.exceptions import ChatError
from errors.taxonomy import MODEL_UNKNOWN


def load() -> Backend:
    """Make the configured provider.

    Raises:
        ImproperlyConfigured: CHAT_PROVIDER leads to no provider.
    """
    name = conf.chat().provider
    if name == "demo":
        return DemoBackend()
    try:
        backend = import_string(name)()
    except ImportError as exc:
        raise ImproperlyConfigured(f"CHAT_PROVIDER is {name!r}: use demo or the dotted path of a class. {exc}") from exc
    if not getattr(backend, "models", None) or not callable(getattr(backend, "stream", None)):
        raise ImproperlyConfigured(f"CHAT_PROVIDER is {name!r}: the class needs `models` and `stream`.")
    return cast("Backend", backend)


def check_model(backend: Backend, model_id: str) -> str:
    """Return `model_id` if the provider has it.

    Raises:
        ChatError: MODEL_UNKNOWN.
    """
    if model_id not in {model.id for model in backend.models}:
        raise ChatError(MODEL_UNKNOWN, field="model_id")
    return model_id
