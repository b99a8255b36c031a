"""Where a connection comes from: the address that limits count and records name, looking past our own proxies."""

from __future__ import annotations

import functools
import ipaddress
from collections.abc import Mapping
from typing import Any

from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest

from chat import conf

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_IPV6_SITE = 64  # bits; one customer has a whole /64 to choose addresses from


def of(scope: Mapping[str, Any]) -> str | None:
    """Return the address to count, or None where nothing distinguishes one visitor from another.

    Anybody can send the header X-Forwarded-For; its right end was written by the proxy next to us. So it is read from
    the right, and only as long as what stands there is one of `trusted_proxies`. Without any of those a private address
    is a proxy that nobody told us of, or this very machine; it is not counted, or all people would share one limit.
    """
    trusted = _networks(conf.chat().trusted_proxies)
    client = scope.get("client")
    address = _parse(str(client[0])) if client and client[0] else None
    if not trusted:
        return _name(address) if address is not None and address.is_global else None
    hops = _forwarded(scope)
    while address is None or any(address in network for network in trusted):
        if not hops:
            break
        next_hop = _parse(hops.pop())
        if next_hop is None:
            break  # the proxy before us wrote nonsense; what it is itself is all that is known
        address = next_hop
    return _name(address) if address is not None else None


def of_request(request: HttpRequest) -> str | None:
    """Return the same of an HTTP request, whatever kind of server brought it."""
    if isinstance(request, ASGIRequest):
        return of(request.scope)
    forwarded = request.headers.get("X-Forwarded-For", "")
    return of(
        {
            "client": (request.META.get("REMOTE_ADDR", ""), None),
            "headers": [(b"x-forwarded-for", forwarded.encode("latin-1", "replace"))],
        }
    )


@functools.cache
def _networks(names: tuple[str, ...]) -> tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]:
    return tuple(map(ipaddress.ip_network, names))


def _forwarded(scope: Mapping[str, Any]) -> list[str]:
    lines = [value.decode("latin-1") for key, value in scope["headers"] if key == b"x-forwarded-for"]
    return [hop.strip() for hop in ",".join(lines).split(",") if hop.strip()]


def _parse(text: str) -> _Address | None:
    """Read an address, with or without a port."""
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def _name(address: _Address) -> str:
    if isinstance(address, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((address, _IPV6_SITE), strict=False))
    return str(address)
