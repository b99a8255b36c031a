"""Which pages may open a socket with a person's cookie: those of an exact list of full origins."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.http import HttpRequest, parse_cookie

from chat import conf
from errors.exceptions import ChatError
from errors.taxonomy import INSUFFICIENT_PERMISSIONS


def header(scope: Mapping[str, Any], name: bytes) -> str | None:
    """Return a header as it came; None if it is missing or occurs twice."""
    values = [value for key, value in scope["headers"] if key == name]
    return values[0].decode("latin-1") if len(values) == 1 else None


def cookies_of(scope: Mapping[str, Any]) -> dict[str, str]:
    values = b"; ".join(value for key, value in scope["headers"] if key == b"cookie")
    return parse_cookie(values.decode("latin-1"))


def is_own(request: HttpRequest) -> bool:
    """Whether the page that this request asks for may open a socket, as far as its host and scheme tell us."""
    return f"{request.scheme}://{request.get_host()}" in conf.chat().allowed_origins


class OriginRefused(ChatError):
    """The one failure that cannot be told in a frame: the handshake is answered with HTTP 403."""


def check(scope: Mapping[str, Any]) -> None:
    """Refuse a connection that brings a login cookie from a page that is not ours.

    A cookie travels by itself, so the page that sent it must be on the list; scheme, host and port are compared letter
    by letter. Without the cookie nothing is at stake: such a connection is told to sign in.

    Raises:
        OriginRefused: The Origin is missing, `null`, occurs twice, or is not on the list.
    """
    if settings.SESSION_COOKIE_NAME not in cookies_of(scope):
        return
    origin = header(scope, b"origin")
    if origin not in conf.chat().allowed_origins:
        raise OriginRefused(INSUFFICIENT_PERMISSIONS, detail=f"origin {origin!r} is not allowed"[:300])
