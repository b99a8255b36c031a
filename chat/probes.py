"""ASGI wrapper that answers `healthz` and `readyz` of whoever asks, under whatever name.

An orchestrator asks a process by its address, which is in nobody's ALLOWED_HOSTS, and over plain HTTP. Without it, or
under WSGI, the views of `chat/api.py` say the same.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

from chat import conf, health


class Probes:
    def __init__(self, application: Any) -> None:
        self.application = application
        prefix = conf.chat().path_prefix
        self._healthz, self._readyz = f"{prefix}/healthz", f"{prefix}/readyz"

    def __call__(self, scope: Any, receive: Any, send: Any) -> Any:
        is_probe = scope["type"] == "http" and scope["path"] in (self._healthz, self._readyz)
        if is_probe and scope["method"] in ("GET", "HEAD"):
            return self._answer(scope, send)
        return self.application(scope, receive, send)

    async def _answer(self, scope: Any, send: Any) -> None:
        if scope["path"] == self._healthz:
            status, said = 200, health.ALIVE
        else:
            status, said = await asyncio.to_thread(health.readiness)
        body = json.dumps(said).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})
