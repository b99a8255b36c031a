"""Translates any exception into a `ChatError`: one error of the catalogue for everything that can go wrong.

A `ChatError` stays what it is. What Django, Channels or a time limit raise is looked up by the exception's MRO, so a
subclass needs no row. Everything else is a SERVICE_ERROR. Exceptions of chat's own suppliers (the LLM SDK,
msgspec, Redis) become a `ChatError` at the edge, in the file that knows the supplier.
"""

from __future__ import annotations

from channels.exceptions import ChannelFull, MessageTooLarge
from django.core.exceptions import (
    BadRequest,
    ObjectDoesNotExist,
    PermissionDenied,
    RequestDataTooBig,
    SuspiciousOperation,
    ValidationError,
)
from django.db import Error as DatabaseError
from django.http import Http404

from errors.exceptions import ChatError
from errors.taxonomy import (
    DATABASE_ERROR,
    FRAME_TOO_LARGE,
    INSUFFICIENT_PERMISSIONS,
    INVALID_FORMAT,
    NOT_FOUND,
    SERVER_BUSY,
    SERVICE_ERROR,
    Category,
    ErrorSpec,
    Stage,
)

# exception -> (word, milliseconds until asking again makes sense, where that is known)
TRANSLATIONS: dict[type[BaseException], tuple[ErrorSpec, int | None]] = {
    DatabaseError: (DATABASE_ERROR, 1_000),  # also the base of InterfaceError, OperationalError, IntegrityError
    ObjectDoesNotExist: (NOT_FOUND, None),
    Http404: (NOT_FOUND, None),
    PermissionDenied: (INSUFFICIENT_PERMISSIONS, None),
    ValidationError: (INVALID_FORMAT, None),
    RequestDataTooBig: (FRAME_TOO_LARGE, None),
    SuspiciousOperation: (INVALID_FORMAT, None),
    BadRequest: (INVALID_FORMAT, None),
    MessageTooLarge: (FRAME_TOO_LARGE, None),
    ChannelFull: (SERVER_BUSY, 1_000),
    TimeoutError: (SERVER_BUSY, 2_000),
}


def translate(exc: BaseException, stage: Stage = Stage.ROUTE) -> ChatError:
    """Return the `ChatError` that stands for `exc` in public. Never raises.

    In a reply nobody asks for anything: what a provider raises about its own requests, fields or permissions says
    nothing about the person's. Only the categories that blame nobody are looked up there, and a `ChatError` that would
    have the person sign in is about the provider's own access.
    """
    if isinstance(exc, ChatError):
        is_about_access = exc.spec.category is Category.AUTH
        return ChatError(SERVICE_ERROR) if is_about_access and stage is Stage.REPLY else exc
    for kind in type(exc).__mro__:
        if kind in TRANSLATIONS:
            spec, retry_after_ms = TRANSLATIONS[kind]
            if stage is Stage.REPLY and spec.category is not Category.SERVICE:
                break
            return ChatError(spec, retry_after_ms=retry_after_ms)
    return ChatError(SERVICE_ERROR)
