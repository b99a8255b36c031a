"""Where a provider is, and the key to it: what must be right before anything is sent there."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from django.core.exceptions import ImproperlyConfigured

_MAX_LABEL_CHARS = 63  # characters between two dots of a host's name (RFC 1035)


def check(what: str, url: str, *, allow_plain_http: bool) -> None:
    """Keys and conversations travel there: in the clear only within the own network, or where that is allowed.

    Raises:
        ImproperlyConfigured: One line, without the address: it may hold a password.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        host, port = "", None
    if not host or port == 0 or not url.isprintable() or " " in url or not _is_name(host):
        raise ImproperlyConfigured(f"{what} is no address: it must be https://host/..., as your provider gives it.")
    if parts.username is not None or parts.password is not None or parts.query or parts.fragment:
        raise ImproperlyConfigured(
            f"{what} must be https://host/path alone: no user, no password, nothing after a ? or #."
        )
    if parts.scheme == "https" or (parts.scheme == "http" and (allow_plain_http or _is_internal(host))):
        return
    raise ImproperlyConfigured(
        f"{what} must be https://..., or http:// to this machine or a private network (allow_plain_http lifts that)."
    )


def _is_name(host: str) -> bool:
    return ":" in host or all(0 < len(label) <= _MAX_LABEL_CHARS for label in host.removesuffix(".").split("."))


def _is_internal(host: str) -> bool:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return "." not in host or host.endswith((".internal", ".local", ".localhost"))
    return address.is_private and not address.is_link_local


def checked_key(what: str, key: str) -> str:
    """Return the key, without the line end that it often has in files.

    Raises:
        ImproperlyConfigured: One line, without the key: it cannot be sent in a header.
    """
    key = key.strip()
    if not key.isascii() or not key.isprintable() or " " in key:
        raise ImproperlyConfigured(f"{what} holds a key with characters that no key has.")
    return key
