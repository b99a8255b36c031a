"""A WebSocket to an address that does not exist: answered with HTTP 403 before accept (ASGI knows no 404 there)."""

from __future__ import annotations

from typing import Any

from errors.loggers import get_logger

log = get_logger("chat.refusal")


async def refuse_socket(scope: Any, receive: Any, send: Any) -> None:
    log.info("chat.socket_address_unknown", path=scope["path"][:200])
    await send({"type": "websocket.close"})
