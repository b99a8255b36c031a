"""`Choice`: all providers as one. Each is inspected once, at start; after that nothing about it is trusted to work."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Sequence

from django.core.exceptions import ImproperlyConfigured

from chat import conf
from chat.llm.base import Backend, Deadlines, ReplyRequest, Usage
from chat.protocol import ModelInfo
from errors.loggers import get_logger

log = get_logger("chat.llm")

_MAX_ID_CHARS = 128  # characters; what a message may name and the database keeps
_WARM_UP_S = 30.0  # seconds; longer, and replies begin without it
_CLOSE_S = 1.0  # seconds of a server's end


class Choice:
    """Several providers as one: each model goes to the provider that offers it.

    Args:
        providers: Where each one is configured, for the operator, and the provider.

    Raises:
        ImproperlyConfigured: One line: a provider that cannot be used, or a model id that two of them have.
    """

    def __init__(self, providers: Sequence[tuple[str, Backend]]) -> None:
        self._of_model: dict[str, Backend] = {}
        models: list[ModelInfo] = []
        for where, backend in providers:
            for model in _models_of(where, backend):
                if model.id in self._of_model:
                    raise ImproperlyConfigured(f"{where}: the model id {model.id!r} is taken by another model.")
                self._of_model[model.id] = backend
                models.append(model)
        self.models = tuple(models)

    def has(self, model_id: str) -> bool:
        return model_id in self._of_model

    def answering(self, model_id: str) -> str:
        """Return the model that answers for this one: the default, where there is no such model or none any more."""
        return model_id if self.has(model_id) else self.models[0].id

    def stream(self, request: ReplyRequest) -> AsyncIterator[str | Usage]:
        return self._provider(request.model_id).stream(request)

    def deadlines(self, model_id: str) -> Deadlines:
        """Return the provider's own deadlines, or those of the settings."""
        own = getattr(self._provider(model_id), "deadlines", None)
        if own is not None:
            found: Deadlines = own(model_id)
            return found
        settings = conf.chat()
        return Deadlines(settings.first_token_s, settings.next_token_s, settings.reply_total_s)

    def context_tokens(self, model_id: str) -> int | None:
        """Return how much of a conversation the provider gives to the model; None where it does not say."""
        own = getattr(self._provider(model_id), "context_tokens", None)
        if own is None:
            return None
        tokens: int = own(model_id)
        return tokens

    async def warm_up(self) -> None:
        """Let every provider load what is heavy."""
        await asyncio.gather(*(_warm(backend) for backend in self._backends()))

    async def warm_up_for(self, model_id: str) -> None:
        await _warm(self._provider(model_id))

    async def aclose(self) -> None:
        """Let every provider release what it holds."""
        await asyncio.gather(*(_close(backend) for backend in self._backends()))

    def _backends(self) -> list[Backend]:
        return list({id(backend): backend for backend in self._of_model.values()}.values())

    def _provider(self, model_id: str) -> Backend:
        return self._of_model[self.answering(model_id)]


def _models_of(where: str, backend: Backend) -> tuple[ModelInfo, ...]:
    try:
        stream, models = backend.stream, tuple(backend.models)
    except Exception as exc:
        reason = " ".join(f"{type(exc).__name__}: {exc}".split())
        raise ImproperlyConfigured(f"{where}: the class needs `models` and `stream`. {reason}") from exc
    if not callable(stream) or inspect.iscoroutinefunction(stream):
        raise ImproperlyConfigured(f"{where}: `stream` must be a method that yields the answer.")
    if not models:
        raise ImproperlyConfigured(f"{where}: it offers no models.")
    for model in models:
        if not isinstance(model, ModelInfo) or not _is_text(model.id) or not _is_text(model.name):
            raise ImproperlyConfigured(
                f"{where}: each of `models` is a ModelInfo with an id and a name of 1 to {_MAX_ID_CHARS} characters."
            )
    return models


def _is_text(value: object) -> bool:
    return isinstance(value, str) and value.isprintable() and 0 < len(value) <= _MAX_ID_CHARS


async def _warm(backend: Backend) -> None:
    """A provider that cannot get ready says why when it is asked for an answer."""
    await _call(backend, "warm_up", _WARM_UP_S, "chat.provider_not_warm")


async def _close(backend: Backend) -> None:
    await _call(backend, "aclose", _CLOSE_S, "chat.provider_not_closed")


async def _call(backend: Backend, method: str, limit_s: float, event: str) -> None:
    optional = getattr(backend, method, None)
    if optional is None:
        return
    try:
        async with asyncio.timeout(limit_s):
            await optional()
    except asyncio.CancelledError:
        raise
    except BaseException as exc:  # also SystemExit: asyncio would end the server with it
        log.warning(event, provider=type(backend).__name__, cause=type(exc).__name__)
