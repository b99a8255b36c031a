"""A browser's stand-in: signs in over HTTP with cookies and CSRF token, and opens WebSockets with the same cookies."""

from __future__ import annotations

import http.cookiejar
import json
import re
import urllib.error
import urllib.parse
import urllib.request
from typing import Any

import websockets
from websockets.typing import Origin, Subprotocol

from tests.services.websocket import SocketClient

TIMEOUT_S = 20.0
CSRF_FIELD = re.compile(r"""name=["']csrfmiddlewaretoken["'][^>]*?value=["']([^"']+)["']""")


class SiteClient:
    """One browser profile at one site.

    Args:
        url: The site, without a slash at the end.
        prefix: The deployment's CHAT_PATH_PREFIX.
    """

    def __init__(self, url: str, *, prefix: str = "/chat") -> None:
        self.url = url
        self.prefix = prefix
        # Browsers take loopback for a secure context and send `Secure` cookies to it; so do we.
        policy = http.cookiejar.DefaultCookiePolicy(secure_protocols=("http", "https"))
        self._jar = http.cookiejar.CookieJar(policy)
        self._opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(self._jar))

    @property
    def cookies(self) -> str:
        """The value of the Cookie header."""
        return "; ".join(f"{cookie.name}={cookie.value}" for cookie in self._jar)

    @property
    def ws_url(self) -> str:
        return f"{self.url.replace('http', 'ws', 1)}{self.prefix}/ws"

    def sign_in(self, name: str, password: str) -> None:
        """Fill in the login form and send it; fails unless that opens a login session."""
        path = f"{self.prefix}/login/"
        found = CSRF_FIELD.search(self.get_text(path)[1])
        assert found, f"no form with a CSRF token at {path}"
        form = {"csrfmiddlewaretoken": found[1], "username": name, "password": password}
        status, body = self._ask(path, urllib.parse.urlencode(form).encode(), {"Referer": self.url + path})
        assert "sessionid" in self._names(), f"{name} could not sign in: {status} {body[:500]}"

    def sign_out(self) -> None:
        """End the login session, as the page's button does."""
        token = next((cookie.value or "" for cookie in self._jar if cookie.name == "csrftoken"), "")
        status, body = self._ask(f"{self.prefix}/logout/", b"", {"X-CSRFToken": token})
        assert "sessionid" not in self._names(), f"signing out failed: {status} {body[:500]}"

    def get_text(self, path: str) -> tuple[int, str]:
        """The status and body of a page, after redirects."""
        return self._ask(path, None, {})

    def get_json(self, path: str) -> tuple[int, Any]:
        """The status and the decoded body."""
        return self._decode(path, *self._ask(path, None, {"Accept": "application/json"}))

    def post_json(self, path: str, body: Any = None) -> tuple[int, Any]:
        """Post as the page's own script does, with the CSRF token of the cookie; the status and the decoded body."""
        data = b"" if body is None else json.dumps(body).encode()
        token = next((cookie.value or "" for cookie in self._jar if cookie.name == "csrftoken"), "")
        headers = {"Accept": "application/json", "Content-Type": "application/json", "X-CSRFToken": token}
        return self._decode(path, *self._ask(path, data, headers))

    async def connect(
        self,
        *,
        origin: str | None = "",
        headers: dict[str, str] | None = None,
        subprotocols: tuple[str, ...] = (),
        ws_url: str | None = None,
    ) -> SocketClient:
        """Open a WebSocket as the page does; close it with `async with` or `close()`.

        Args:
            origin: The Origin header; empty: the site's own, None: no such header.
            headers: Further ones.
            ws_url: Another address than the site's own.

        Raises:
            websockets.exceptions.InvalidStatus: the server refused the handshake.
        """
        sent = {"Cookie": self.cookies} if self.cookies else {}
        connection = await websockets.connect(
            ws_url or self.ws_url,
            origin=None if origin is None else Origin(origin or self.url),
            additional_headers=sent | (headers or {}),
            subprotocols=[Subprotocol(name) for name in subprotocols] or None,
            open_timeout=TIMEOUT_S,
            ping_interval=None,
            max_size=None,
            proxy=None,
        )
        return SocketClient(connection)

    def _names(self) -> set[str]:
        return {cookie.name for cookie in self._jar}

    def _ask(self, path: str, data: bytes | None, headers: dict[str, str]) -> tuple[int, str]:
        """A request with the site as its Origin, when it changes something; error statuses are answers too."""
        sent = headers if data is None else headers | {"Origin": self.url}
        request = urllib.request.Request(urllib.parse.urljoin(self.url, path), data, sent)
        try:
            with self._opener.open(request, timeout=TIMEOUT_S) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode(errors="replace")

    def _decode(self, path: str, status: int, body: str) -> tuple[int, Any]:
        try:
            return status, json.loads(body)
        except ValueError:
            raise AssertionError(f"{path} answered {status} without JSON: {body[:500]}") from None
